/* Idempotency-Key: asking again is safe, whatever happened to the answer. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World, withFailpoints } from '../world.mjs'
import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'

const project = `project: app
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
`
const make = () => {
  const world = World.bare(project)

  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
  world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=broken\n')
  world.json(['record', 'production', '--version', '2.0.0'])
  return world
}
let world
let server
const record = (version, key, token) => server.fetch('/api/v1/environments/production/deployments', { method: 'POST', body: { version }, headers: { 'Idempotency-Key': key }, token })
const versions = () => world.json(['deployments', 'production']).deployments.map((deployment) => deployment.version)

before(async () => {
  world = make()
  server = await startServer(world)
})
after(async () => {
  await server.stop()
  world.remove()
})

describe('the same key', () => {
  it('with the same request gives the same answer, and nothing is done twice', async () => {
    const first = await record('3.0.0', '"one"')
    const second = await record('3.0.0', 'one')

    assert.ok(first.status < 300, first.bodyText)
    assert.equal(first.headers.get('idempotency-replayed'), null)
    assert.equal(second.headers.get('idempotency-replayed'), 'true')
    assert.equal(second.status, first.status)
    assert.equal(second.bodyText, first.bodyText)
    assert.equal(versions().filter((version) => version === '3.0.0').length, 1)
  })

  it('with another request is 422', async () => {
    await record('3.1.0', 'two')
    const other = await record('3.2.0', 'two')

    assert.equal(other.status, 422)
    assert.ok(!versions().includes('3.2.0'))
  })

  it('of somebody else is another key', async () => {
    const token = makeToken(world, 'other', ['*=operator'])

    await record('3.3.0', 'three')
    const other = await record('3.4.0', 'three', token)
    assert.ok(other.status < 300, other.bodyText)
  })

  it('gives refusals again, too', async () => {
    const ask = () => server.fetch('/api/v1/environments/nowhere/deployments', { method: 'POST', body: { version: '1' }, headers: { 'Idempotency-Key': 'four' } })
    const first = await ask()
    const second = await ask()

    assert.equal(first.status, 404)
    assert.equal(second.bodyText, first.bodyText)
  })

  it('asked ten times at once does it once; the others are told to wait or get the answer', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => record('3.5.0', 'five')))

    for (const response of all) assert.ok(response.status < 300 || response.status === 409, response.bodyText)
    assert.ok(all.some((response) => response.status < 300))
    assert.equal(versions().filter((version) => version === '3.5.0').length, 1)
  })

  it('must be one', async () => {
    for (const key of ['""', 'a b', 'a'.repeat(256), '"a"b"']) assert.equal((await record('4.0.0', key)).status, 400, key)
    assert.ok(!versions().includes('4.0.0'))
  })

  it('never has a token kept', async () => {
    const ask = () => server.fetch('/api/v1/tokens', { method: 'POST', body: { name: 'kept?' }, headers: { 'Idempotency-Key': 'six' } })
    const first = await ask()
    const second = await ask()

    assert.match(first.json.token, /^unship_/)
    assert.equal(second.status, 409)
    assert.ok(!second.bodyText.includes(first.json.token))
  })
})

describe('a server that dies', () => {
  const rollback = (one) => one.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: { reason: 'broken' }, headers: { 'Idempotency-Key': 'run' } })
  const dies = async (failpoint) => {
    const own = make()
    const first = await startServer(own, { program: withFailpoints, env: { UNSHIP_FAILPOINT: failpoint } })

    await assert.rejects(rollback(first))
    await first.ended
    return own
  }

  it('after the run was requested: the same key finds that run', async () => {
    const own = await dies('run.requested_committed')
    const second = await startServer(own, { program: withFailpoints })
    const again = await rollback(second)

    assert.ok([200, 202].includes(again.status), again.bodyText)
    assert.equal(again.headers.get('idempotency-replayed'), 'true')
    await eventually(async () => (await second.fetch(`/api/v1/rollbacks/${again.json.rollbackId}`)).json.status === 'completed')
    assert.equal((await second.fetch('/api/v1/rollbacks')).json.runs.length, 1)
    await second.stop()
    own.remove()
  })

  it('before anything was done: the same key does it', async () => {
    const own = make()
    const first = await startServer(own, { program: withFailpoints })
    const stop = first.fetch('/api/v1/audit/verify', { method: 'POST' })
    await stop
    await first.kill()
    const second = await startServer(own, { program: withFailpoints })
    const done = await rollback(second)

    assert.equal(done.status, 202, done.bodyText)
    assert.equal(done.headers.get('idempotency-replayed'), null)
    await second.stop()
    own.remove()
  })
})
