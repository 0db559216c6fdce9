/* Work in flight: a worker takes jobs from a queue in Redis all the time, and is rolled back. Gracefully it ends what it has begun, and no job is begun twice; at once, what it had in its hands goes back and is done by the older
 * version. Either way every job is done, and done once. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { client, startRedis } from '../support/redis.mjs'
import { World, withFailpoints } from '../world.mjs'

/* Takes a job unless it is paused, in one step; counts how often each is begun and by whom; a job is done and out of its hands in one step. Job "stuck" is never done, "slow" takes long. */
const worker = (version) => `
import { connect } from './client.mjs'
import { setTimeout as pause } from 'node:timers/promises'

const redis = connect(process.env.QUEUE)
const take = "if redis.call('EXISTS', 'paused') == 1 then return nil end return redis.call('LMOVE', 'jobs', 'taken:worker', 'RIGHT', 'LEFT')"
await redis.call('SET', 'running', '${version}')
for (;;) {
  const job = await redis.call('EVAL', take, 0)
  if (!job) { await pause(5); continue }
  await redis.call('HINCRBY', 'begun', job, 1)
  await pause(job.startsWith('slow') ? 60000 * ('${version}' === '2.0.0') : 5)
  if (job === 'stuck') { await pause(1e9) }
  await redis.call('EVAL', "redis.call('HINCRBY', 'done', ARGV[1], 1) redis.call('LREM', 'taken:worker', 1, ARGV[1]) redis.call('HSET', 'by', ARGV[1], ARGV[2])", 0, job, '${version}')
}
`
const producer = `
import { connect } from './client.mjs'
import { setTimeout as pause } from 'node:timers/promises'
const redis = connect(process.argv[2])
for (let i = 0; i < Number(process.argv[3]); i++) { await redis.call('LPUSH', 'jobs', 'job-' + i); await pause(3) }
process.exit(0)
`
/* How many are in work; exit code 0 when none is. */
const idle = `#!/bin/sh
left=$(redis-cli -s "$QUEUE" LLEN taken:worker) || exit 2
echo "$left left"
[ "$left" = 0 ]
`

const project = (socket, drain) => `project: app
environments:
  production:
    components:
      code: {driver: git-release, repo: ., root: deploy}
      jobs:
        driver: redis
        socket: ${socket}
        queues: {jobs: {pending: jobs, processing: ["taken:*"]}}
      worker:
        driver: process
        argv: [${process.execPath}, worker.mjs]
        dir: deploy/current
        env: {QUEUE: ${socket}}
        grace: 5s
        needs: [code]
        drain: ${drain}
`

function drainOf(socket, { limit = '20s', onLimit = 'fail', probe = false } = {}) {
  const asked = probe ? '{probe: {type: exec, argv: [env, "QUEUE=SOCKET", bin/idle]}}' : '{argv: [bin/idle]}'

  return `{pause: [redis-cli, -s, SOCKET, SET, paused, "1"], resume: [redis-cli, -s, SOCKET, DEL, paused], idle: ${asked}, every: 20ms, limit: ${limit}, onLimit: ${onLimit}, env: {QUEUE: SOCKET}, requeue: {queues: [jobs]}}`
    .replaceAll('SOCKET', socket)
}

function makeWorld(socket) {
  const world = World.bare(project(socket, drainOf(socket)))

  world.git('init', '-q', '-b', 'main')
  world.git('config', 'user.name', 'test')
  world.git('config', 'user.email', 'test@example.com')
  for (const version of ['1.0.0', '2.0.0']) {
    writeFileSync(join(world.app, 'worker.mjs'), worker(version))
    writeFileSync(join(world.app, 'client.mjs'), client)
    world.git('add', 'worker.mjs', 'client.mjs')
    world.git('commit', '-q', '-m', `Release ${version}`)
    world.git('tag', `v${version}`)
  }
  mkdirSync(join(world.app, 'bin'))
  writeFileSync(join(world.app, 'bin/idle'), idle)
  chmodSync(join(world.app, 'bin/idle'), 0o755)
  writeFileSync(join(world.app, 'client.mjs'), client)
  writeFileSync(join(world.app, 'producer.mjs'), producer)
  return world
}

describe('work in flight', () => {
  let redis, world
  const configure = (options) => writeFileSync(join(world.app, 'unship.yaml'), project(redis.socket, drainOf(redis.socket, options)))

  async function deploy(version) {
    const plan = world.writePlan(`deploy-${version}.json`, {
      id: `deploy-${version}`, name: `Deploy ${version}`, steps: [
        { id: 'stop', type: 'service', parameters: { service: 'worker', action: 'stop' } },
        { id: 'requeue', type: 'service', parameters: { service: 'worker', action: 'requeue' } },
        { id: 'release', type: 'deployment', parameters: { service: 'code', version: `v${version}`, environment: 'production' } },
        { id: 'start', type: 'service', parameters: { service: 'worker', action: 'start' } },
        { id: 'resume', type: 'service', parameters: { service: 'worker', action: 'resume' } },
      ],
    })
    world.json(['rollback', 'production', '--plan', plan, '--reason', `deploy ${version}`, '--yes'])
    world.json(['record', 'production', '--version', version, '--status', 'passing'])
    await eventually(async () => await redis.call('GET', 'running') === version, { what: `version ${version}` })
  }

  const table = async (name) => {
    const list = await redis.call('HGETALL', name)
    return Object.fromEntries(Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i], list[2 * i + 1]]))
  }
  const numbers = async (name) => Object.values(await table(name)).map(Number)
  const steps = (run) => Object.fromEntries(world.json(['status', run.rollbackId]).run.steps.map((step) => [step.stepId, step]))

  async function allDone(count) {
    await eventually(async () => Object.keys(await table('done')).length === count, { what: `all of ${count} jobs` })
    assert.ok((await numbers('done')).every((times) => times === 1), 'a job was done twice')
    assert.equal(await redis.call('LLEN', 'taken:worker'), 0)
    assert.equal(await redis.call('LLEN', 'jobs'), 0)
  }

  before(async () => {
    redis = await startRedis()
    world = makeWorld(redis.socket)
    await deploy('1.0.0')
  })
  after(async () => {
    world?.remove()
    await redis?.stop()
  })

  it('is ended before the service is stopped: under load, no job is lost, and none is begun twice', async () => {
    await deploy('2.0.0')
    await redis.call('DEL', 'begun', 'done', 'by')
    const load = (await import('node:child_process')).spawn(process.execPath, [join(world.app, 'producer.mjs'), redis.socket, '700'], { stdio: 'ignore' })
    const pushed = new Promise((done) => load.once('exit', done))
    await eventually(async () => (await redis.call('HLEN', 'done')) > 20, { what: 'the load' })

    const run = world.json(['rollback', 'production', '--reason', 'the new one is slow', '--yes'])
    assert.equal(run.success, true)
    assert.deepEqual(Object.keys(steps(run)), ['drain-worker', 'stop-worker', 'requeue-worker', 'release-code', 'start-worker', 'resume-worker'])
    assert.equal(await pushed, 0)
    await allDone(700)
    assert.ok((await numbers('begun')).every((times) => times === 1), 'a job was begun twice')
    const by = Object.values(await table('by'))
    assert.ok(by.includes('2.0.0') && by.includes('1.0.0'), 'both versions worked')
  })

  it('is ended in the same way when the rollback is taken back', async () => {
    await redis.call('DEL', 'begun', 'done', 'by')
    for (let i = 0; i < 300; i++) await redis.call('LPUSH', 'jobs', `job-${i}`)
    world.json(['undo', '--reason', 'it was not the new one', '--yes'])
    await eventually(async () => await redis.call('GET', 'running') === '2.0.0', { what: 'version 2.0.0' })
    await allDone(300)
    assert.ok((await numbers('begun')).every((times) => times === 1), 'a job was begun twice')
  })

  it('is cut off by --immediate, which says so, and goes back into the queue', async () => {
    await redis.call('DEL', 'begun', 'done', 'by')
    await redis.call('LPUSH', 'jobs', 'slow-1')
    await redis.call('LPUSH', 'jobs', 'job-2')
    await eventually(async () => await redis.call('HGET', 'begun', 'slow-1') === '1', { what: 'the slow job' })

    const plan = world.json(['plan', 'production', '--immediate'])
    assert.ok(plan.notReverted.some((sentence) => /worker is stopped at once: what it works on is cut off, and put back/.test(sentence)), plan.notReverted.join())
    const run = world.json(['rollback', 'production', '--immediate', '--reason', 'now', '--yes'])
    assert.equal(run.success, true)
    assert.deepEqual(Object.keys(steps(run)), ['stop-worker', 'requeue-worker', 'release-code', 'start-worker'])
    await allDone(2)
    assert.equal(await redis.call('HGET', 'begun', 'slow-1'), '2')
    assert.deepEqual(await table('by'), { 'slow-1': '1.0.0', 'job-2': '1.0.0' })
  })

  it('that does not end fails the step, and everything is as before: the service runs and takes work', async () => {
    configure({ limit: '200ms', probe: true })
    await deploy('2.0.0')
    await redis.call('DEL', 'begun', 'done', 'by')
    await redis.call('LPUSH', 'jobs', 'stuck')
    await eventually(async () => await redis.call('HGET', 'begun', 'stuck') === '1', { what: 'the stuck job' })

    const pids = world.services()
    const result = world.run(['rollback', 'production', '--reason', 'stuck', '--yes', '--json'])
    assert.equal(result.code, 1, result.err)
    assert.match(result.out, /not idle after 200 ?ms/)
    assert.equal(await redis.call('EXISTS', 'paused'), 0)
    assert.deepEqual(world.services(), pids)
  })

  it('that does not end is cut off with onLimit: continue, and is put back', async () => {
    configure({ limit: '200ms', onLimit: 'continue' })
    const run = world.json(['rollback', 'production', '--reason', 'stuck', '--yes'])
    assert.equal(run.success, true)
    await eventually(async () => await redis.call('HGET', 'begun', 'stuck') === '2', { what: 'the stuck job, begun again' })
    await redis.call('LREM', 'taken:worker', '1', 'stuck')
    configure()
  })

  for (const point of ['drain.begun', 'drain.paused', 'drain.idle', 'drain.requeued', 'redis.requeued_some', 'drain.resumed'])
    it(`survives a kill at ${point}: the run goes on, and every job is done once`, async () => {
      await deploy('2.0.0')
      await redis.call('DEL', 'begun', 'done', 'by')
      for (let i = 0; i < 100; i++) await redis.call('LPUSH', 'jobs', `job-${i}`)
      if (point === 'redis.requeued_some') await redis.call('LPUSH', 'taken:gone', 'job-100') // of a worker that died long ago

      const killed = world.run(['rollback', 'production', '--reason', 'crash', '--yes'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } })
      assert.ok(killed.signal === 'SIGKILL' || killed.code === 137, `it was not killed: ${killed.code} ${killed.err}`)
      world.json(['resume'])
      assert.equal(world.json(['status']).status, 'completed')
      await allDone(point === 'redis.requeued_some' ? 101 : 100)
      assert.equal(await redis.call('EXISTS', 'paused'), 0)
      assert.equal(await redis.call('GET', 'running'), '1.0.0')
    })

  it('is checked before anything starts: what `drain` names must be there', () => {
    const wrong = drainOf(redis.socket).replace('queues: [jobs]', 'queues: [job, code]').replace('argv: [bin/idle]', 'probe: {type: htp, url: "http://x"}')
    writeFileSync(join(world.app, 'unship.yaml'), project(redis.socket, wrong))
    const { err } = world.run(['config', 'check'])

    assert.match(err, /unknown component 'job'; did you mean 'jobs'\?/)
    assert.match(err, /component 'code' has no `queues`/)
    assert.match(err, /unknown type of probe 'htp'; did you mean 'http'\?/)
    configure()
  })
})
