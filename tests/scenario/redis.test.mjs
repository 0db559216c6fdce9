/* A Redis database as a component, from outside: it is kept with every recorded deployment, stays as it is in a rollback, is restored when that is asked for, and what a restore took away is kept. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startRedis } from '../support/redis.mjs'
import { World } from '../world.mjs'

describe('a Redis database', () => {
  let redis, world, first
  const keys = async () => {
    const names = (await redis.call('KEYS', '*')).sort()
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await redis.call('GET', name)])))
  }
  /* Every file below a folder, as paths. */
  const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)])

  before(async () => {
    redis = await startRedis()
    world = World.bare(`project: app
environments:
  production:
    components:
      cache: {driver: redis, url: {env: CACHE_URL}, keys: ["app:*"]}
`)
    process.env.CACHE_URL = `unix://${redis.socket}?db=0`
    await redis.call('SET', 'app:version', 'one')
    await redis.call('SET', 'app:old', 'kept')
    await redis.call('SET', 'other', 'theirs')
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    await redis.call('SET', 'app:version', 'two')
    await redis.call('DEL', 'app:old')
    await redis.call('SET', 'app:new', 'written since')
    await redis.call('SET', 'other', 'theirs, later')
    world.json(['record', 'production', '--version', '2.0.0', '--status', 'passing'])
  })
  after(async () => {
    delete process.env.CACHE_URL
    world?.remove()
    await redis?.stop()
  })

  it('stays as it is unless its data is asked for', async () => {
    const before = await keys(), plan = world.json(['plan', 'production', '--to', first.id])

    assert.equal(plan.plan.steps.length, 0)
    assert.deepEqual(await keys(), before)
  })

  it('goes back to what was recorded, and nothing beside its keys is touched; the lost keys are kept with the run', async () => {
    const run = world.json(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'bad keys', '--yes'])

    assert.equal(run.success, true)
    assert.deepEqual(await keys(), { 'app:old': 'kept', 'app:version': 'one', other: 'theirs, later' })
    const step = world.json(['status', run.rollbackId]).run.steps.find(({ stepId }) => stepId === 'restore-cache')
    assert.equal(step.status, 'completed')
    const ledgers = files(join(world.app, '.deployments')).filter((path) => path.endsWith('keys.jsonl'))
    assert.equal(ledgers.length, 1)
    const lost = readFileSync(ledgers[0], 'utf8').trim().split('\n').map(JSON.parse)
    assert.deepEqual(lost.filter(({ row }) => row).map(({ change, row }) => [change, row.key, row.value]).sort(), [['added', 'app:new', 'written since'], ['changed', 'app:version', 'two']])
    assert.deepEqual(lost.filter(({ row }) => !row), [{ change: 'removed', key: ['app:old'] }])
  })

  it('comes back as it was when the rollback is taken back', async () => {
    world.json(['undo', '--reason', 'the keys were right', '--yes'])
    assert.deepEqual(await keys(), { 'app:new': 'written since', 'app:version': 'two', other: 'theirs, later' })
  })

  it('that is gone is said so, without its password, and nothing begins', async () => {
    process.env.CACHE_URL = 'redis://:s3cret@127.0.0.1:1/0'
    const result = world.run(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'bad', '--yes'])
    process.env.CACHE_URL = `unix://${redis.socket}?db=0`

    assert.equal(result.code, 3)
    assert.match(result.out + result.err, /127\.0\.0\.1:1/)
    assert.doesNotMatch(result.out + result.err, /s3cret/)
  })
})
