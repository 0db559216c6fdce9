/* /metrics: what it tells, in a form that promtool accepts, and scraped by a real Prometheus. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { EventStream } from '../support/events.mjs'
import { eventually } from '../support/eventually.mjs'
import { startServer } from '../support/server.mjs'
import { World, freePort } from '../world.mjs'

let world, server

async function metrics(token = server.token) {
  const response = await fetch(`${server.url}/metrics`, { headers: { Authorization: `Bearer ${token}` } })

  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

function value(text, name, labels = '') {
  const line = text.split('\n').find((one) => one.startsWith(`${name}${labels} `))

  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

before(async () => {
  world = await World.make()
  world.deploy('1.0.0')
  world.deploy('2.0.0')
  server = await startServer(world)
})

after(async () => {
  await server?.stop()
  world?.remove()
})

test('it needs a credential', async () => {
  assert.equal((await fetch(`${server.url}/metrics`)).status, 401)
})

test('it counts what happens, whoever does it', async () => {
  const first = await metrics()

  assert.equal(first.type, 'text/plain; version=0.0.4; charset=utf-8')
  assert.equal(value(first.text, 'unship_runs_total', '{environment="production",status="completed"}'), undefined)
  assert.ok(value(first.text, 'unship_last_completed_run_timestamp_seconds', '{environment="production"}') > 1.7e9, 'known from the store')
  world.json(['rollback', 'production', '--reason', 'metrics', '--yes'])
  world.json(['flags', 'production', 'set', 'beta-x', 'on', '--new-variant', '--reason', 'metrics'])
  const text = await eventually(async () => {
    const { text: now } = await metrics()
    return value(now, 'unship_flag_changes_total', '{environment="production",change="set"}') >= 1 && now
  })

  assert.equal(value(text, 'unship_runs_total', '{environment="production",status="completed"}'), 1)
  assert.equal(value(text, 'unship_run_duration_seconds_count', '{environment="production"}'), 1)
  assert.equal(value(text, 'unship_runs_unfinished', '{environment="production"}'), 0)
  assert.ok(value(text, 'unship_steps_total', '{environment="production",verb="apply",outcome="done"}') > 0)
  assert.equal(value(text, 'unship_probe_healthy', '{environment="production",probe="api-http"}'), 1)
  assert.equal(value(text, 'unship_dependency_healthy', '{dependency="database"}'), 1)
  assert.ok(value(text, 'unship_http_requests_total', '{method="GET",route="/metrics",code="2xx"}') >= 1)
  assert.ok(value(text, 'process_resident_memory_bytes') > 1 << 20)
  assert.ok(value(text, 'process_open_fds') > 3)
  assert.ok(Math.abs(value(text, 'process_start_time_seconds') - Date.now() / 1000) < 600)
  assert.equal(value(text, 'unship_journal_head'), world.json(['audit', 'verify']).entries)
})

test('event streams are counted while they last', async () => {
  const stream = await EventStream.open(`${server.url}/api/v1/events`, { token: server.token })

  await eventually(async () => value((await metrics()).text, 'unship_event_clients') === 1)
  stream.close()
  world.json(['flags', 'production', 'set', 'beta-y', 'on', '--new-variant', '--reason', 'the server notices that nobody is there when it writes'])
  await eventually(async () => value((await metrics()).text, 'unship_event_clients') === 0)
})

test('promtool has nothing to say', async () => {
  const { text } = await metrics()
  const result = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })

  assert.equal(result.stdout + result.stderr, '')
  assert.equal(result.status, 0)
})

test('Prometheus scrapes it', async () => {
  const dir = join(world.dir, 'prometheus'), port = await freePort()

  mkdirSync(dir)
  writeFileSync(join(dir, 'token'), server.token, { mode: 0o600 })
  writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({
    global: { scrape_interval: '200ms', scrape_timeout: '200ms' },
    scrape_configs: [{
      job_name: 'unship',
      authorization: { credentials_file: join(dir, 'token') },
      static_configs: [{ targets: [new URL(server.url).host] }],
    }],
  }))
  const prometheus = spawn('prometheus', [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`, '--log.level=error'], { stdio: 'ignore' })

  try {
    const ask = async (query) => {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`)
      return (await response.json()).data.result
    }
    const up = await eventually(async () => {
      const result = await ask('up{job="unship"}')
      return result[0]?.value[1] === '1' && result
    }, { seconds: 60 })

    assert.equal(up.length, 1)
    const [head] = await ask('unship_journal_head')
    assert.equal(Number(head.value[1]), world.json(['audit', 'verify']).entries)
  } finally {
    prometheus.kill('SIGKILL')
    await new Promise((done) => { prometheus.exitCode === null && prometheus.signalCode === null ? prometheus.once('exit', done) : done() })
  }
})
