/* Hooks: Alertmanager's webhook, by hand and from a real Alertmanager fed by a real Prometheus; generic bodies by a mapping; deployments from GitHub. Signatures are made here by node:crypto. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { after, before, test } from 'node:test'

import { EventStream } from '../support/events.mjs'
import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World, freePort } from '../world.mjs'

const secret = 'the secret of the tests, not of anybody else'
let world, server, monitor, other

const sign = (body, before = '', key = secret) => `sha256=${createHmac('sha256', key).update(before + body).digest('hex')}`

async function post(path, body, headers = {}, { token = null } = {}) {
  return server.fetch(path, { method: 'POST', token, body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } })
}
const alertmanager = (body, options = {}) => post('/api/v1/hooks/alertmanager', body, {}, { token: monitor, ...options })
const signedPost = (name, body, headers = {}) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return post(`/api/v1/hooks/webhook/${name}`, text, { 'X-Signature-256': sign(text), ...headers })
}
const alerts = (...options) => world.json(['alerts', ...options]).alerts
const entries = (kind) => world.json(['audit', 'search', '--kind', kind, '--limit', '1000']).entries

function group(list, more = {}) {
  return {
    version: '4', groupKey: '{}:{alertname="errors"}', truncatedAlerts: 0, status: 'firing', receiver: 'unship', groupLabels: {}, commonLabels: {}, commonAnnotations: {},
    externalURL: 'http://monitor.example', somethingNew: { deep: [1] }, alerts: list, ...more,
  }
}
function alert(fingerprint, more = {}) {
  return {
    status: 'firing', labels: { alertname: 'HighErrorRate', severity: 'critical' }, annotations: { summary: '5 % of requests fail' }, startsAt: '2026-11-21T08:00:00.123Z',
    endsAt: '0001-01-01T00:00:00Z', generatorURL: 'http://monitor.example/graph', fingerprint, ...more,
  }
}

before(async () => {
  world = World.bare(`project: shop
environments:
  production: {components: {flags: {driver: flags, group: beta}}}
  staging: {components: {flags: {driver: flags, group: beta}}}
server:
  hooks:
    alertmanager: {type: alertmanager, principal: monitor, environment: production, environmentLabel: env}
    pager:
      type: generic
      secret: {file: state/secret}
      environment: staging
      mapping: {each: /incidents, fingerprint: /id, name: /title, status: /state, severity: /priority, summary: /about/text, startsAt: /since, labels: /tags}
    timed:
      type: generic
      secret: {env: HOOK_SECRET}
      signatureHeader: X-Own-Signature
      timestampHeader: X-Own-Time
      tolerance: 1m
      mapping: {fingerprint: /id}
    pipeline:
      type: generic
      principal: deployer
      action: record
      mapping: {environment: /target, version: /release/version, gitSha: /release/sha, components: {flags: /images/flags}, when: {/state: done}}
    github:
      type: github
      secret: {file: state/secret}
      repository: shop/app
      environments: {prod: production}
`)
  writeFileSync(join(world.app, 'state/secret'), `${secret}\n`, { mode: 0o600 })
  server = await startServer(world, { env: { HOOK_SECRET: secret } })
  monitor = makeToken(world, 'monitor', ['production=viewer', 'staging=viewer'], ['--permission', 'view'])
  other = makeToken(world, 'other', ['*=operator'])
})

after(async () => {
  await server?.stop()
  world?.remove()
})

test('an alert becomes an entry, an event and a row; told again it changes nothing; resolved it ends', async () => {
  const stream = await EventStream.open(`${server.url}/api/v1/events?kind=signal.*`, { token: server.token })
  const first = await alertmanager(group([alert('aaaa'), alert('bbbb', { labels: { alertname: 'Slow', env: 'staging' } })], { truncatedAlerts: 3 }))

  assert.equal(first.status, 200, first.bodyText)
  assert.deepEqual(first.json, { result: 'taken', alerts: 2, known: 0 })
  await stream.until(({ events }) => events.length === 2)
  assert.deepEqual(stream.events[0].data.data, {
    hook: 'alertmanager', fingerprint: 'aaaa', status: 'firing', labels: { alertname: 'HighErrorRate', severity: 'critical' }, annotations: { summary: '5 % of requests fail' },
    startsAt: '2026-11-21T08:00:00.123Z', url: 'http://monitor.example/graph', truncatedAlerts: 3,
  })
  assert.equal(stream.events[0].data.environment, 'production')
  assert.equal(stream.events[0].data.actor, 'monitor')
  assert.equal(stream.events[1].data.environment, 'staging', 'by its label')
  stream.close()

  assert.deepEqual((await alertmanager(group([alert('aaaa')]))).json, { result: 'taken', alerts: 0, known: 1 })
  const resolved = alert('aaaa', { status: 'resolved', endsAt: '2026-11-21T08:05:00Z' })
  assert.deepEqual((await alertmanager(group([resolved, alert('aaaa', { startsAt: '2026-11-21T09:00:00Z' })]))).json, { result: 'taken', alerts: 2, known: 0 })
  assert.deepEqual((await alertmanager(group([resolved, alert('aaaa')]))).json, { result: 'taken', alerts: 0, known: 2 }, 'an end is an end, also when the beginning comes late')
  const rows = alerts('production')
  assert.deepEqual(rows.map(({ fingerprint, status, startsAt, endsAt }) => [fingerprint, status, startsAt, endsAt]), [
    ['aaaa', 'firing', '2026-11-21T09:00:00.000Z', undefined], ['aaaa', 'resolved', '2026-11-21T08:00:00.123Z', '2026-11-21T08:05:00.000Z'],
  ])
  assert.equal(world.json(['alerts', 'production', '--status', 'firing']).firing, 1)
  assert.equal(alerts('staging').length, 1)
  const page = (await server.fetch('/api/v1/alerts?limit=2')).json
  assert.equal(page.alerts.length, 2)
  assert.deepEqual([...page.alerts, ...(await server.fetch(`/api/v1/alerts?cursor=${page.next}`)).json.alerts], alerts())
  assert.match(world.run(['alerts']).out, /HighErrorRate/)
})

test('only the principal of the hook may send, and may do no more than look', async () => {
  const body = group([alert('cccc')])

  assert.equal((await alertmanager(body, { token: null })).status, 401)
  assert.equal((await alertmanager(body, { token: 'unship_nobody' })).status, 401)
  assert.equal((await alertmanager(body, { token: other })).status, 403, 'who may do more is still not the monitor')
  assert.ok(entries('refused').some(({ data }) => data.operation === 'POST /api/v1/hooks/alertmanager'))
  assert.equal((await server.fetch('/api/v1/environments/production/deployments', { method: 'POST', token: monitor, body: { version: '1' } })).status, 403)
  assert.ok(!alerts().some(({ fingerprint }) => fingerprint === 'cccc'))
  assert.equal((await server.fetch('/api/v1/alerts', { token: other })).json.alerts.length, alerts().length)
  const staging = makeToken(world, 'looks-at-staging', ['staging=viewer'])
  assert.deepEqual((await server.fetch('/api/v1/alerts', { token: staging })).json.alerts.map(({ environment }) => environment), ['staging'])
})

test('what is no webhook of Alertmanager is refused; nothing of it is kept', async () => {
  const count = entries('signal.alert').length

  for (const [body, status, words] of [
    [{ ...group([]), version: '5' }, 422, /version/], [{ version: '4' }, 422, /alerts/], ['[]', 422, /object/], ['{', 422, /body/], [group([alert('x'), 'text']), 422, /alert 2/],
    [group(Array.from({ length: 1001 }, (_, i) => ({ status: 'firing', fingerprint: `${i}` }))), 413, /1000/],
  ]) {
    const response = await alertmanager(body)
    assert.equal(response.status, status, response.bodyText)
    assert.match(response.json.detail, words)
  }
  assert.deepEqual((await alertmanager(group([]))).json, { result: 'ignored', alerts: 0, known: 0 })
  assert.equal(entries('signal.alert').length, count)
  assert.equal((await post('/api/v1/hooks/webhook/nothing', {})).status, 404)
  assert.equal((await server.fetch('/api/v1/hooks/alertmanager')).status, 405)
})

test('texts that are too long are cut, and not more is kept than has room', async () => {
  const labels = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`label${i}`, 'ü'.repeat(5000)]))
  const response = await alertmanager(group([alert('long', { labels, fingerprint: 'f'.repeat(4000) })]))

  assert.equal(response.status, 200)
  const row = alerts('production').find((one) => one.labels.label0)
  assert.equal(row.fingerprint.length, 64)
  assert.equal(Object.keys(row.labels).length, 64)
  assert.equal(row.labels.label0, 'ü'.repeat(1024))
})

test('a generic body, signed and mapped', async () => {
  const body = (state) => ({ incidents: [{ id: 7, title: 'Disk', state, priority: 'high', about: { text: 'full' }, since: 1763712000, tags: { disk: 'sda', size: 12, list: [] } }] })

  assert.deepEqual((await signedPost('pager', body('open'))).json, { result: 'taken', alerts: 1, known: 0 })
  const [row] = alerts('staging')
  assert.deepEqual([row.hook, row.fingerprint, row.labels, row.annotations, row.startsAt], ['pager', '7', { disk: 'sda', size: '12', alertname: 'Disk', severity: 'high' }, { summary: 'full' }, '2025-11-21T08:00:00.000Z'])
  assert.equal(entries('signal.alert')[0].actor, 'hook:pager')
  assert.deepEqual((await signedPost('pager', body('acknowledged'))).json, { result: 'ignored', alerts: 0, known: 0 })
  assert.deepEqual((await signedPost('pager', body('closed'))).json, { result: 'taken', alerts: 1, known: 0 })
  assert.equal((await signedPost('pager', { incidents: [{ state: 'open' }] })).status, 422)
  assert.equal((await signedPost('pager', { incidents: 7 })).status, 422)
})

test('a signature that does not fit, or is of another body, is refused', async () => {
  const text = JSON.stringify({ incidents: [] }), path = '/api/v1/hooks/webhook/pager'

  for (const headers of [{}, { 'X-Signature-256': sign(`${text} `) }, { 'X-Signature-256': sign(text, '', 'another') }, { 'X-Signature-256': 'sha256=' }, { 'X-Signature-256': sign(text).slice(0, -1) },
    { 'X-Signature-256': `${sign(text)}0` }, { 'X-Hub-Signature-256': sign(text) }]) {
    const response = await post(path, text, headers)
    assert.equal(response.status, 401, JSON.stringify(headers))
  }
  assert.equal((await post(path, text, {}, { token: server.token })).status, 401, 'not even an administrator sends unsigned')
  assert.equal((await post(path, text, { 'X-Signature-256': sign(text).slice('sha256='.length) })).status, 200, 'digits alone')
  assert.ok(entries('refused').some(({ data }) => data.operation === 'POST /api/v1/hooks/webhook/{name}'))
  assert.ok(!server.errors().includes(secret))
})

test('with a signed time nothing can be caught and sent again', async () => {
  const text = JSON.stringify({ id: 'once' }), path = '/api/v1/hooks/webhook/timed'
  const at = (seconds, body = text) => ({ 'X-Own-Time': `${seconds}`, 'X-Own-Signature': sign(body, `${seconds}.`) })
  const now = Math.floor(Date.now() / 1000)

  assert.equal((await post(path, text, { ...at(now), 'X-Own-Time': `${now + 1}` })).status, 401, 'another time than was signed')
  assert.equal((await post(path, text, { 'X-Own-Signature': sign(text) })).status, 401)
  assert.equal((await post(path, text, at(now - 120))).status, 401, 'too old')
  assert.equal((await post(path, text, at(now + 120))).status, 401, 'too new')
  assert.equal((await post(path, text, at('soon'))).status, 401)
  const headers = at(now)
  assert.deepEqual((await post(path, text, headers)).json, { result: 'taken', alerts: 1, known: 0 })
  assert.deepEqual((await post(path, text, headers)).json, { result: 'duplicate' })
  assert.deepEqual((await post(path, text, { ...headers, 'X-Own-Signature': headers['X-Own-Signature'].slice(7), 'X-Delivery-Id': 'new' })).json, { result: 'duplicate' })
})

test('a delivery with an id counts once', async () => {
  const headers = { 'X-Delivery-Id': randomUUID() }, body = (id) => ({ incidents: [{ id, state: 'open' }] })

  assert.equal((await signedPost('pager', body('d1'), headers)).json.result, 'taken')
  assert.deepEqual((await signedPost('pager', body('d2'), headers)).json, { result: 'duplicate' })
  assert.ok(!alerts().some(({ fingerprint }) => fingerprint === 'd2'))
})

test('a deployment by a mapping and the token of somebody who may record', async () => {
  const deployer = makeToken(world, 'deployer', ['staging=operator', 'production=viewer'])
  const send = (body, token = deployer) => post('/api/v1/hooks/webhook/pipeline', body, {}, { token })
  const body = { target: 'staging', state: 'done', release: { version: '1.4.2', sha: 'abc1234' }, images: { flags: 'rev-7' } }

  assert.deepEqual((await send({ ...body, state: 'begun' })).json, { result: 'ignored', reason: 'it is not what `when` of the hook asks for' })
  assert.equal((await send({ ...body, target: 'moon' })).status, 202)
  const made = await send(body)
  assert.equal(made.status, 200, made.bodyText)
  const shown = world.json(['deployments', 'show', made.json.deployment])
  assert.deepEqual([shown.environment, shown.version, shown.gitSha, shown.recordedBy, shown.components.flags.version, shown.health], ['staging', '1.4.2', 'abc1234', 'deployer', 'rev-7', 'unknown'])
  assert.equal((await send({ ...body, target: 'production' })).status, 403)
  assert.equal((await send(body, other)).status, 403)
  assert.equal((await send({ ...body, release: {} })).status, 422)
})

function deploymentStatus({ state = 'success', environment = 'prod', ref = 'v2.0.0', repository = 'shop/app', created = new Date().toISOString() } = {}) {
  return {
    action: 'created',
    deployment_status: { id: Math.floor(Math.random() * 1e9), state, environment, created_at: created, updated_at: created },
    deployment: { id: 1, sha: '0123456789abcdef0123456789abcdef01234567', ref, task: 'deploy', environment },
    repository: { full_name: repository }, sender: { login: 'ana' },
  }
}

test('a deployment from GitHub is recorded, once', async () => {
  const send = (body, event = 'deployment_status', headers = {}) => {
    const text = JSON.stringify(body)
    return post('/api/v1/hooks/webhook/github', text, { 'X-GitHub-Event': event, 'X-GitHub-Delivery': randomUUID(), 'X-Hub-Signature-256': sign(text), ...headers })
  }
  const count = () => world.json(['deployments', 'production']).deployments.length
  const body = deploymentStatus()

  assert.deepEqual((await send({ zen: 'Keep it logically awesome.', hook_id: 1 }, 'ping')).json, { result: 'pong' })
  assert.equal((await send(body, 'ping', { 'X-Hub-Signature-256': sign('') })).status, 401)
  assert.equal((await send(body, 'deployment_status', { 'X-Hub-Signature-256': sign('other') })).status, 401)
  assert.equal(count(), 0)
  const made = await send(body)
  assert.equal(made.status, 200, made.bodyText)
  assert.equal(made.json.result, 'recorded')
  const shown = world.json(['deployments', 'show', made.json.deployment])
  assert.deepEqual([shown.environment, shown.version, shown.gitSha, shown.recordedBy, shown.health], ['production', 'v2.0.0', '0123456789abcdef0123456789abcdef01234567', 'hook:github', 'unknown'])
  assert.deepEqual((await send(body)).json, { result: 'duplicate' }, 'also under another delivery id, which is not signed')
  assert.equal(count(), 1)
  for (const [ignored, event] of [[{ action: 'opened' }, 'issues'], [deploymentStatus({ state: 'in_progress' })], [deploymentStatus({ environment: 'preview-7' })], [deploymentStatus({ repository: 'somebody/else' })]]) {
    const response = await send(ignored, event)
    assert.equal(response.status, 202, response.bodyText)
    assert.equal(response.json.result, 'ignored')
  }
  assert.equal((await send(deploymentStatus({ created: '2026-01-01T00:00:00Z' }))).status, 422, 'so old that nobody would remember whether it came before')
  assert.equal((await send({ deployment_status: {}, repository: { full_name: 'shop/app' } })).status, 422)
  assert.equal(count(), 1)
})

test('what came before is known after a restart', async () => {
  const text = JSON.stringify(deploymentStatus({ ref: 'v3.0.0' }))
  const send = () => post('/api/v1/hooks/webhook/github', text, { 'X-GitHub-Event': 'deployment_status', 'X-Hub-Signature-256': sign(text) })

  assert.equal((await send()).json.result, 'recorded')
  await server.kill()
  server = await startServer(world, { env: { HOOK_SECRET: secret } })
  assert.deepEqual((await send()).json, { result: 'duplicate' })
})

const here = (program) => !spawnSync(program, ['--version']).error
const end = async (child) => {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await new Promise((done) => child.once('exit', done))
}

test('the configuration of Alertmanager in docs/hooks.md is one', () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/hooks.md', import.meta.url)), 'utf8')
  const blocks = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, block]) => block).filter((block) => /^receivers:/m.test(block))

  assert.equal(blocks.length, 1)
  writeFileSync(join(world.dir, 'documented.yml'), blocks[0])
  const result = spawnSync('amtool', ['check-config', join(world.dir, 'documented.yml')], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stdout + result.stderr)
  assert.match(result.stdout, /1 receivers/)
})

test('a real Alertmanager, fed by a real Prometheus, fires and resolves', async () => {
  const program = ['prometheus-alertmanager', 'alertmanager'].find(here)

  assert.ok(program && here('prometheus'), 'Prometheus and Alertmanager must be installed: scripts/deps test')
  const dir = join(world.dir, 'monitoring'), amPort = await freePort(), promPort = await freePort()
  let broken = 1
  const target = createServer((request, response) => response.end(`shop_broken ${broken}\n`))
  const running = []

  await new Promise((done) => target.listen(0, '127.0.0.1', done))
  mkdirSync(dir)
  writeFileSync(join(dir, 'token'), monitor, { mode: 0o600 })
  writeFileSync(join(dir, 'alertmanager.yml'), JSON.stringify({
    route: { receiver: 'unship', group_wait: '100ms', group_interval: '500ms', repeat_interval: '1h' },
    receivers: [{ name: 'unship', webhook_configs: [{ url: `${server.url}/api/v1/hooks/alertmanager`, send_resolved: true, http_config: { authorization: { credentials_file: join(dir, 'token') } } }] }],
  }))
  writeFileSync(join(dir, 'rules.yml'), JSON.stringify({
    groups: [{ name: 'shop', interval: '200ms', rules: [{ alert: 'ShopBroken', expr: 'shop_broken > 0', labels: { severity: 'page', env: 'staging' }, annotations: { summary: 'it is broken: {{ $value }}' } }] }],
  }))
  writeFileSync(join(dir, 'prometheus.yml'), JSON.stringify({
    global: { scrape_interval: '200ms', scrape_timeout: '200ms', evaluation_interval: '200ms' },
    rule_files: [join(dir, 'rules.yml')],
    alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${amPort}`] }] }] },
    scrape_configs: [{ job_name: 'shop', static_configs: [{ targets: [`127.0.0.1:${target.address().port}`] }] }],
  }))
  try {
    running.push(spawn(program, [`--config.file=${join(dir, 'alertmanager.yml')}`, `--storage.path=${join(dir, 'am')}`, `--web.listen-address=127.0.0.1:${amPort}`, '--cluster.listen-address=', '--log.level=error'], { stdio: 'ignore' }))
    running.push(spawn('prometheus', [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=127.0.0.1:${promPort}`, '--log.level=error'], { stdio: 'ignore' }))
    const row = () => alerts('staging').find(({ labels }) => labels.alertname === 'ShopBroken')
    const fired = await eventually(row, { seconds: 90 })

    assert.equal(fired.status, 'firing')
    assert.equal(fired.labels.severity, 'page')
    assert.equal(fired.annotations.summary, 'it is broken: 1')
    assert.match(fired.fingerprint, /^[0-9a-f]{16}$/)
    assert.ok(Math.abs(Date.parse(fired.startsAt) - Date.now()) < 600000)
    broken = 0
    const over = await eventually(() => row().status === 'resolved' && row(), { seconds: 90 })
    assert.equal(over.startsAt, fired.startsAt)
    assert.ok(Date.parse(over.endsAt) >= Date.parse(over.startsAt))
  } finally {
    for (const child of running) await end(child)
    await new Promise((done) => { target.close(done); target.closeAllConnections() })
  }
})
