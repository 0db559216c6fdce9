/* POST /api/rollback/trigger and GET /api/rollback/status/{id}: document S4, key for key. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

let world, server, first

async function call(method, path, body, headers = {}) {
  const response = await fetch(server.url + path, {
    method,
    headers: { Authorization: `Bearer ${server.token}`, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  })

  return { status: response.status, headers: response.headers, body: await response.json() }
}

const trigger = (body, headers) => call('POST', '/api/rollback/trigger', body, headers)
const status = (id, headers) => call('GET', `/api/rollback/status/${id}`, undefined, headers)

before(async () => {
  world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {}, '3.0.0': { healthy: false } } })
  world.deploy('1.0.0')
  first = world.json(['deployments', 'production']).deployments[0]
  world.deploy('2.0.0')
  server = await startServer(world)
})

after(async () => {
  await server?.stop()
  world?.remove()
})

test('a rollback is triggered, followed and completed', async () => {
  const begun = await trigger({ deployment_id: first.id, reason: 'errors under load', environment: 'production' })

  assert.equal(begun.status, 202)
  assert.deepEqual(Object.keys(begun.body), ['success', 'rollback_id', 'message'])
  assert.equal(begun.body.success, true)
  assert.match(begun.body.rollback_id, /^run-/)
  assert.equal(begun.headers.get('location'), `/api/rollback/status/${begun.body.rollback_id}`)
  const seen = new Set()
  const over = await eventually(async () => {
    const now = await status(begun.body.rollback_id)

    assert.equal(now.status, 200)
    seen.add(now.body.status)
    return now.body.status === 'completed' && now.body
  })

  assert.deepEqual(Object.keys(over), ['status', 'steps_completed', 'current_step'])
  assert.equal(over.current_step, '')
  assert.ok(over.steps_completed.length > 2)
  for (const word of seen) assert.ok(['pending', 'in_progress', 'completed'].includes(word), word)
  assert.equal((await world.reality()).version, '1.0.0')
})

test('who is there already is told so', async () => {
  const answer = await trigger({ deployment_id: first.id, reason: 'again', environment: 'production' })

  assert.equal(answer.status, 200)
  assert.deepEqual({ ...answer.body, message: '' }, { success: true, rollback_id: '', message: '' })
  assert.match(answer.body.message, /nothing to take back/)
})

test('one that fails says why, and how the environment stands', async () => {
  world.deploy('3.0.0', { status: 'passing' })
  const broken = world.json(['deployments', 'production']).deployments[0]

  world.deploy('2.0.0')
  const begun = await trigger({ deployment_id: broken.id, reason: 'to the one that is broken', environment: 'production' })
  assert.equal(begun.status, 202, JSON.stringify(begun.body))
  const going = await eventually(async () => {
    const now = await status(begun.body.rollback_id)
    return now.body.current_step === 'verify' && now.body
  })

  assert.equal(going.status, 'in_progress')
  assert.ok(!going.steps_completed.includes('verify'))
  world.json(['cancel', begun.body.rollback_id, '--reason', 'its probe will never pass', '--yes'])
  const over = await eventually(async () => {
    const now = await status(begun.body.rollback_id)
    return now.body.status === 'failed' && now.body
  }, { seconds: 60 })

  assert.deepEqual(Object.keys(over), ['status', 'steps_completed', 'current_step', 'error'])
  assert.match(over.error, /as it was before/)
  assert.equal((await world.reality()).version, '2.0.0')
})

test('errors carry the members too', async () => {
  const whole = { deployment_id: first.id, reason: 'x', environment: 'production' }
  const cases = [
    [await trigger({}), 422, /deployment_id/],
    [await trigger({ ...whole, reason: '' }), 422, /reason/],
    [await trigger({ ...whole, more: 1 }), 422, /'more' is not known/],
    [await trigger({ ...whole, environment: 'nowhere' }), 404, /nowhere/],
    [await trigger({ ...whole, deployment_id: 'dep-nothing' }), 404, /dep-nothing/],
    [await trigger(whole, { Authorization: 'Bearer unship_wrong' }), 401, /./],
    [await trigger(whole, { 'Content-Type': 'text/plain' }), 415, /application\/json/],
    [await trigger(whole, { Authorization: `Bearer ${makeToken(world, 'looker', ['*=viewer'])}` }), 403, /looker may not execute/],
    [await status('run-nothing'), 404, /run-nothing/],
    [await status('run-nothing', { Authorization: 'Bearer unship_wrong' }), 401, /./],
  ]

  for (const [answer, code, message] of cases) {
    assert.equal(answer.status, code, JSON.stringify(answer.body))
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(answer.body.success, false)
    assert.equal(answer.body.rollback_id, '')
    assert.match(answer.body.message, message)
  }
})

/* The last: from here on the environment wants four eyes. */
test('what waits for the approval of others has not begun, and says so', async () => {
  const file = join(world.app, 'unship.yaml')
  const target = world.json(['deployments', 'production']).deployments.find(({ present }) => !present)

  world.run(['deployments', 'release', target.id, '--reason', 'mended']) // where it is in quarantine
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^  production:\n/m, '  production:\n    approvals: {required: 1}\n'))
  const asked = await trigger({ deployment_id: target.id, reason: 'errors under load', environment: 'production' })

  assert.equal(asked.status, 202)
  assert.deepEqual(Object.keys(asked.body), ['success', 'rollback_id', 'message'])
  assert.equal(asked.body.success, false)
  assert.equal(asked.body.rollback_id, '')
  assert.match(asked.headers.get('location'), /^\/api\/v1\/approvals\/apr-/)
  assert.ok(asked.body.message.includes(asked.headers.get('location').split('/').pop()), asked.body.message)
  const approval = await call('GET', asked.headers.get('location'))
  assert.equal(approval.body.status ?? approval.body.approval?.status, 'pending')
})
