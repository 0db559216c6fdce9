/* Signing in over HTTP: what the cookie is like, what cannot be taken over, when a session is over, how guessing is slowed down, and who may do what. Time passes by moving what the store remembers into the past. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World, release } from '../world.mjs'

const password = 'canary-e1f9-correct-horse'
let world
let server

before(async () => {
  world = World.bare(`project: app
environments:
  production: {approvals: {required: 1}, components: {flags: {driver: flags}}}
  staging: {components: {flags: {driver: flags}}}
`)
  for (const name of ['ana', 'ben', 'cho']) world.json(['people', 'add', name, '--grant', `*=${name === 'ana' ? 'admin' : name === 'ben' ? 'approver' : 'operator'}`, '--password'], { input: `${password}\n`, program: release })
  server = await startServer(world)
})
after(async () => {
  await server.stop()
  world.remove()
})

const store = (statement) => {
  const { status, stderr } = spawnSync('sqlite3', ['-cmd', '.timeout 10000', join(world.app, '.deployments/unship.db'), statement], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}
const cookieOf = (response) => response.headers.get('set-cookie').split(';')[0]
const send = (method, path, session, body, more = {}) => server.fetch(path, {
  method, token: null, body, headers: { ...(session ? { Cookie: session.cookie, ...(session.csrf ? { 'X-CSRF-Token': session.csrf } : {}) } : {}), ...more },
})
async function signIn(name = 'ana', given = password, more = {}) {
  const response = await send('POST', '/api/v1/session', null, { name, password: given }, more)
  return { status: response.status, response, json: response.json, cookie: response.status === 201 ? cookieOf(response) : null, csrf: response.json?.csrf }
}
const status = async (session) => (await send('GET', '/api/v1/session', session)).status

describe('the cookie of a session', () => {
  it('is for this host, over TLS, not for scripts, and not sent from other sites', async () => {
    const { response } = await signIn()
    const cookie = response.headers.get('set-cookie')
    assert.match(cookie, /^__Host-[a-z-]+=[A-Za-z0-9_-]{43};/)
    for (const attribute of ['Path=/', 'Secure', 'HttpOnly', 'SameSite=Strict']) assert.match(cookie, new RegExp(`; ${attribute}(;|$)`))
    assert.doesNotMatch(cookie, /Domain/i)
  })

  it('is a new one at each sign-in, whatever the browser brings along', async () => {
    const chosen = '__Host-unship=chosen-by-somebody-else'
    const first = await signIn('ana', password, { Cookie: chosen })
    const second = await signIn('ana', password, { Cookie: first.cookie })
    assert.notEqual(first.cookie, chosen)
    assert.notEqual(first.cookie, second.cookie)
    assert.equal(await status({ cookie: chosen }), 401)
  })

  it('changes nothing without the header that a foreign page cannot send', async () => {
    const session = await signIn()
    const flag = (csrf) => send('PUT', '/api/v1/environments/staging/flags/a', { cookie: session.cookie, csrf }, { state: 'on' })
    assert.equal((await flag()).status, 403)
    assert.equal((await flag('0'.repeat(64))).status, 403)
    assert.equal((await flag(session.csrf)).status, 200)
  })
})

describe('a session is over', () => {
  const over = (session) => eventually(async () => await status(session) === 401)

  it('when its owner signs out, at once', async () => {
    const session = await signIn()
    assert.equal((await send('DELETE', '/api/v1/session', session)).status, 204)
    assert.equal(await status(session), 401)
  })

  it('when nobody used it for half an hour', async () => {
    const session = await signIn()
    store(`UPDATE credentials SET seen_ms = seen_ms - ${30 * 60 * 1000} WHERE kind = 'session'`)
    await over(session)
  })

  it('after twelve hours, whoever uses it', async () => {
    const session = await signIn()
    store(`UPDATE sessions SET begun_ms = begun_ms - ${12 * 3600 * 1000}`)
    await over(session)
  })

  it('when it is revoked, when the password is changed, when its owner is removed', async () => {
    world.json(['people', 'add', 'dan', '--grant', '*=viewer', '--password'], { input: `${password}\n`, program: release })
    let session = await signIn('dan')
    const [listed] = world.json(['sessions', 'list', '--principal', 'dan'], { program: release }).sessions
    world.json(['sessions', 'revoke', listed.id], { program: release })
    await over(session)
    session = await signIn('dan')
    world.json(['people', 'change', 'dan', '--password'], { input: `${password}-2\n`, program: release })
    await over(session)
    assert.equal((await signIn('dan')).status, 401)
    session = await signIn('dan', `${password}-2`)
    world.json(['people', 'remove', 'dan', '--yes'], { program: release })
    await over(session)
  })
})

describe('guessing', () => {
  it('tells nothing about which names there are', async () => {
    const known = await signIn('cho', 'wrong wrong wrong')
    const unknown = await signIn('nobody-here', 'wrong wrong wrong')
    assert.deepEqual([known.status, unknown.status], [401, 401])
    assert.equal(known.json.detail, unknown.json.detail)
    store('DELETE FROM logins')
  })

  it('is slowed down, also for the right password, and says until when', async () => {
    for (let i = 0; i < 5; i++) assert.equal((await signIn('cho', 'wrong wrong wrong')).status, 401)
    const limited = await signIn('cho')
    assert.equal(limited.status, 429)
    assert.match(limited.json.detail, /try again in \d+ s/)
    store('DELETE FROM logins')
    assert.equal((await signIn('cho')).status, 201)
  })
})

describe('fresh authentication', () => {
  it('is wanted before administering, and a password gives it', async () => {
    const session = await signIn()
    store(`UPDATE credentials SET authenticated_ms = authenticated_ms - ${16 * 60 * 1000} WHERE kind = 'session'`)
    const add = () => send('POST', '/api/v1/people', session, { name: `eva-${Date.now()}` })
    await eventually(async () => {
      const refused = await add()
      return refused.status === 401 && /prove again/.test(refused.json.detail)
    })
    assert.equal((await send('GET', '/api/v1/people', session)).status, 200)
    assert.equal((await send('POST', '/api/v1/session/again', session, { password: 'wrong wrong wrong' })).status, 401)
    assert.equal((await send('POST', '/api/v1/session/again', session, { password })).status, 204)
    assert.match(String((await add()).status), /^20[01]$/)
    store('DELETE FROM logins')
  })
})

describe('tokens', () => {
  it('may what they were made for, and are out when they are revoked', async () => {
    const token = makeToken(world, 'robot', ['staging=operator'], ['--permission', 'view'])
    const flags = (environment, method = 'GET', path = '', body) => server.fetch(`/api/v1/environments/${environment}/flags${path}`, { token, method, body })
    assert.equal((await flags('staging')).status, 200)
    assert.equal((await flags('production')).status, 403)
    assert.equal((await flags('staging', 'PUT', '/a', { state: 'on' })).status, 403)
    const who = await server.fetch('/api/v1/session', { token })
    assert.deepEqual(Object.keys(who.json.environments), ['staging'])
    assert.doesNotMatch(who.bodyText, /production/)
    world.json(['tokens', 'revoke', world.json(['tokens', 'list', '--principal', 'robot'], { program: release }).tokens[0].id], { program: release })
    await eventually(async () => (await flags('staging')).status === 401)
  })

  it('are not taken from the address', async () => {
    const response = await server.fetch(`/api/v1/people?token=${server.token}&access_token=${server.token}`, { token: null })
    assert.ok([400, 401].includes(response.status), String(response.status))
  })

  it('a dry run is for whoever may plan', async () => {
    const token = makeToken(world, 'planner', ['*=approver'])
    const rollback = (body) => server.fetch('/api/v1/environments/staging/rollbacks', { method: 'POST', token, body })
    assert.equal((await rollback({ reason: 'x' })).status, 403)
    assert.notEqual((await rollback({ dryRun: true })).status, 403)
  })
})

describe('four eyes over HTTP', () => {
  it('answers 202 with what waits, and carries it out when another person approved', async () => {
    for (const [state, version] of [['off', '1.0.0'], ['on', '2.0.0']]) {
      world.json(['flags', 'production', 'set', 'checkout', state], { program: release })
      world.json(['record', 'production', '--version', version, '--status', version === '1.0.0' ? 'passing' : 'failing'], { program: release })
    }
    const [ben, cho] = [await signIn('ben'), await signIn('cho')]
    const asked = await send('POST', '/api/v1/environments/production/rollbacks', cho, { reason: 'errors' })
    assert.equal(asked.status, 202)
    assert.equal(asked.json.waitsFor, 'approval')
    const { id } = asked.json.approval
    assert.equal(asked.headers.get('location'), `/api/v1/approvals/${id}`)
    assert.equal((await send('POST', `/api/v1/approvals/${id}/approve`, cho, {})).status, 403)
    assert.equal((await send('GET', `/api/v1/approvals/${id}`, ben)).json.status, 'pending')
    const approved = await send('POST', `/api/v1/approvals/${id}/approve`, ben, { reason: 'seen' }, { Prefer: 'wait=60' })
    assert.equal(approved.status, 200, approved.bodyText)
    assert.equal(approved.headers.get('preference-applied'), 'wait')
    assert.equal(approved.json.result.status, 'completed')
    assert.equal(approved.json.approval.id, id)
    await eventually(async () => {
      const { runs } = (await send('GET', '/api/v1/rollbacks', ben)).json
      return runs[0].status === 'completed' && runs[0].actor === 'cho'
    })
    assert.equal((await send('POST', `/api/v1/approvals/${id}/approve`, await signIn('ana'), {})).status, 422)
  })
})

describe('secrets', () => {
  it('are in no log, no file and no entry', async () => {
    const session = await signIn()
    const files = (folder) => readdirSync(folder).flatMap((name) => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? files(path) : [path]
    })
    for (const path of files(world.app)) {
      const content = readFileSync(path)
      for (const secret of [password, server.token, session.cookie.split('=')[1], session.csrf]) assert.equal(content.includes(secret), false, path)
    }
    assert.equal(server.errors().includes(password), false)
    assert.equal(server.errors().includes(server.token), false)
    assert.doesNotMatch(readFileSync(`/proc/${server.child.pid}/cmdline`, 'utf8'), /canary|unship_/)
    assert.equal((await server.fetch('/api/v1/audit?limit=10000')).bodyText.includes(password), false)
  })
})
