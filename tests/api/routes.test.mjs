/* Routes made of the operations: how they are found, what goes in, what comes out, and who may ask. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { request } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'
import { makeToken, startServer } from '../support/server.mjs'

let world
let server
const tokens = {}

before(async () => {
  world = World.bare(`project: app
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
  staging:
    components:
      config: {driver: files, paths: [state/app.env]}
`)
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
  server = await startServer(world)
  for (const role of ['viewer', 'operator', 'approver']) tokens[role] = makeToken(world, role, [`production=${role}`])
})
after(async () => {
  await server.stop()
  world.remove()
})

describe('finding a route', () => {
  it('404 with a problem document', async () => {
    const response = await server.fetch('/api/v1/nothing')

    assert.equal(response.status, 404)
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    assert.deepEqual(Object.keys(response.json), ['type', 'title', 'status', 'detail', 'instance', 'code'], 'and no advice that is about the command line')
    assert.equal(response.json.status, 404)
    assert.equal(response.json.code, 'not-found')
    assert.equal(response.json.instance, `/requests/${response.headers.get('x-request-id')}`)
  })

  it('405 says what a path takes; HEAD and OPTIONS are known everywhere', async () => {
    const wrong = await server.fetch('/api/v1/history', { method: 'DELETE' })

    assert.equal(wrong.status, 405)
    assert.equal(wrong.headers.get('allow'), 'OPTIONS, GET, HEAD')
    const head = await server.fetch('/api/v1/history', { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.bodyText, '')
    assert.ok(Number(head.headers.get('content-length')) > 0)
    const options = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'OPTIONS' })
    assert.equal(options.status, 204)
    assert.match(options.headers.get('allow'), /POST/)
  })

  it('a literal part is meant rather than a name in its place', async () => {
    assert.ok(Array.isArray((await server.fetch('/api/v1/environments/production/flags/history')).json.changes))
  })

  it('operations that need a path of the caller are not there', async () => {
    assert.equal((await server.fetch('/api/v1/snapshots/x/export', { method: 'POST', body: { to: '/tmp/x' } })).status, 404)
  })
})

describe('input', () => {
  const set = (path, body) => server.fetch(path, { method: 'PUT', body })

  it('is merged from path, query and body', async () => {
    const response = await set('/api/v1/environments/production/flags/beta?group=g', { state: 'on', reason: 'test' })

    assert.equal(response.status, 200, response.bodyText)
    assert.equal(response.json.key, 'beta')
    assert.equal(response.json.group, 'g')
  })

  it('given twice with one value is fine, with two is 400', async () => {
    assert.equal((await set('/api/v1/environments/production/flags/beta', { key: 'beta', state: 'on' })).status, 200)
    const response = await set('/api/v1/environments/production/flags/beta', { key: 'gamma', state: 'on' })
    assert.equal(response.status, 400)
    assert.match(response.json.detail, /'key' is given twice/)
    assert.equal((await server.fetch('/api/v1/history?limit=1&limit=2')).status, 400)
  })

  it('that is unknown, missing, or of the wrong kind is 422 with what was meant', async () => {
    const unknown = await server.fetch('/api/v1/history?enviroment=production')
    assert.equal(unknown.status, 422)
    assert.match(unknown.json.detail, /environment/)
    assert.equal((await server.fetch('/api/v1/history?limit=many')).status, 422)
    assert.equal((await server.fetch('/api/v1/history?limit=0')).status, 422)
    assert.equal((await server.fetch('/api/v1/history?limit=5')).status, 200)
    assert.equal((await set('/api/v1/environments/production/flags/beta', {})).status, 422)
    assert.equal((await server.fetch('/api/v1/environments/nowhere/flags')).status, 404)
  })

  it('a body of another type is 415, one that is no JSON 422 with its place', async () => {
    const text = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: 'reason=x', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })
    assert.equal(text.status, 415)
    const broken = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: '{\n "reason": }', headers: { 'Content-Type': 'application/json' } })
    assert.equal(broken.status, 422)
    assert.equal(broken.json.line, 2)
  })

  it('a path of the client is never opened', async () => {
    const response = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: { reason: 'x', plan: '/etc/passwd' } })

    assert.equal(response.status, 422)
    assert.match(response.json.detail, /opens no paths of its clients/)
  })
})

describe('answers', () => {
  it('have a tag, and are not sent again to who has them', async () => {
    const first = await server.fetch('/api/v1/environments/production/flags')
    const tag = first.headers.get('etag')

    assert.match(tag, /^"[0-9a-f]{32}"$/)
    const second = await server.fetch('/api/v1/environments/production/flags', { headers: { 'If-None-Match': `"x", ${tag}` } })
    assert.equal(second.status, 304)
    assert.equal(second.bodyText, '')
    await server.fetch('/api/v1/environments/production/flags/beta', { method: 'PUT', body: { state: 'off' } })
    assert.equal((await server.fetch('/api/v1/environments/production/flags', { headers: { 'If-None-Match': tag } })).status, 200)
  })

  it('are compressed when they are long and the client takes it', async () => {
    const raw = (headers) => new Promise((done, fail) => {
      request(`${server.url}/api/v1/audit?limit=50`, { headers: { Authorization: `Bearer ${server.token}`, ...headers } }, (response) => {
        const pieces = []
        response.on('data', (data) => pieces.push(data))
        response.on('end', () => done({ headers: response.headers, body: Buffer.concat(pieces) }))
      }).on('error', fail).end()
    })
    const plain = await raw({})
    const small = await raw({ 'Accept-Encoding': 'br, gzip;q=0.8' })

    assert.equal(plain.headers['content-encoding'], undefined)
    assert.match(plain.headers.vary, /Accept-Encoding/)
    assert.equal(small.headers['content-encoding'], 'gzip')
    assert.ok(small.body.length < plain.body.length)
    assert.deepEqual(JSON.parse(gunzipSync(small.body)), JSON.parse(plain.body))
    assert.notEqual(small.headers.etag, plain.headers.etag)
    assert.equal((await raw({ 'Accept-Encoding': 'gzip;q=0' })).headers['content-encoding'], undefined)
  })

  it('tell browsers to be careful', async () => {
    const { headers } = await server.fetch('/api/v1/history')

    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.match(headers.get('content-security-policy'), /default-src 'none'/)
    assert.equal(headers.get('referrer-policy'), 'no-referrer')
    assert.match(headers.get('cache-control'), /private/)
  })

  it('the same as on the command line', async () => {
    for (const [path, argv] of [['/api/v1/history', ['history']], ['/api/v1/environments/production/flags', ['flags', 'production', 'list']], ['/api/v1/drivers', ['drivers']], ['/api/v1/rollbacks', ['runs']]])
      assert.deepEqual((await server.fetch(path)).json, world.json(argv), path)
  })

  it('an error that tells more than itself brings it along', async () => {
    const response = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: { reason: 'test' } })

    assert.ok(response.status >= 400)
    assert.equal(response.json.status, response.status)
    assert.equal(response.json.environment, 'production')
  })
})

describe('pages', () => {
  const all = async (path, member) => {
    const pages = []
    let cursor
    do {
      const { json } = await server.fetch(`${path}?limit=3${cursor ? `&cursor=${cursor}` : ''}`)
      pages.push(json[member])
      cursor = json.next
    } while (cursor && pages.length < 100)
    return pages
  }

  before(async () => {
    for (let i = 0; i < 8; i++) {
      await server.fetch('/api/v1/environments/production/flags/paged', { method: 'PUT', body: { state: i % 2 ? 'on' : 'off' } })
      await server.fetch('/api/v1/environments/production/deployments', { method: 'POST', body: { version: `1.${i}.0` } })
    }
  })

  for (const [path, member, key] of [['/api/v1/audit', 'entries', 'seq'], ['/api/v1/environments/production/flags/history', 'changes', 'id'], ['/api/v1/environments/production/deployments', 'deployments', 'id']]) {
    it(`of ${path} are all of it, in order, nothing twice`, async () => {
      const whole = (await server.fetch(`${path}?limit=1000`)).json
      const pages = await all(path, member)

      assert.equal(whole.next, undefined)
      assert.ok(pages.length > 2)
      for (const page of pages.slice(0, -1)) assert.equal(page.length, 3)
      assert.deepEqual(pages.flat().map((one) => one[key]), whole[member].map((one) => one[key]))
    })
  }

  it('a cursor that is none is refused; one of an empty rest is not there', async () => {
    assert.equal((await server.fetch('/api/v1/history?cursor=x')).status, 422)
    assert.equal((await server.fetch('/api/v1/rollbacks')).json.next, undefined)
  })
})

describe('who asks', () => {
  it('must be known', async () => {
    for (const headers of [{}, { Authorization: 'Bearer unship_wrong' }, { Authorization: 'Basic dTpw' }, { Authorization: 'Bearer ' }, { Cookie: '__Host-unship=wrong' }]) {
      const response = await server.fetch('/api/v1/history', { token: null, headers })

      assert.equal(response.status, 401, JSON.stringify(headers))
      assert.match(response.headers.get('www-authenticate'), /^Bearer/)
    }
  })

  it('may do what their role allows, where it does', async () => {
    const flag = (token, environment) => server.fetch(`/api/v1/environments/${environment}/flags/x`, { method: 'PUT', body: { state: 'on' }, token }).then((response) => response.status)

    assert.equal(await flag(tokens.operator, 'production'), 200)
    assert.equal(await flag(tokens.operator, 'staging'), 403)
    assert.equal(await flag(tokens.viewer, 'production'), 403)
    assert.equal((await server.fetch('/api/v1/environments/production/flags', { token: tokens.viewer })).status, 200)
    assert.equal((await server.fetch('/api/v1/environments/staging/flags', { token: tokens.viewer })).status, 403)
    assert.equal((await server.fetch('/api/v1/people', { token: tokens.operator })).status, 403)
  })

  it('is written down when they are refused, but not as often as they try', async () => {
    const before = world.json(['audit', 'search', '--kind', 'refused', '--limit', '1000']).entries.length
    for (let i = 0; i < 20; i++) assert.equal((await server.fetch('/api/v1/environments/staging/flags/y', { method: 'PUT', body: { state: 'on' }, token: tokens.approver })).status, 403)
    const entries = world.json(['audit', 'search', '--kind', 'refused', '--limit', '1000']).entries

    assert.equal(entries.length, before + 1)
    assert.equal(entries[0].actor, 'approver')
    assert.equal(entries[0].environment, 'staging')
    assert.equal(entries[0].data.origin, '127.0.0.1')
    assert.equal(entries[0].data.code, 'forbidden')
  })

  it('is out a second after their token was revoked', async () => {
    const token = makeToken(world, 'leaving', ['*=viewer'])
    assert.equal((await server.fetch('/api/v1/history', { token })).status, 200)
    const { tokens: list } = world.json(['tokens', 'list', '--principal', 'leaving'])
    world.json(['tokens', 'revoke', list[0].id, '--reason', 'leaves', '--yes'])
    const until = Date.now() + 20000
    while ((await server.fetch('/api/v1/history', { token })).status !== 401) assert.ok(Date.now() < until, 'still in after 20 s')
  })
})

describe('sessions', () => {
  const password = 'correct horse battery staple'
  let cookie
  let csrf

  before(async () => {
    const made = await server.fetch('/api/v1/people', { method: 'POST', body: { name: 'ana', grant: ['production=operator'], password } })
    assert.ok(made.status < 300, made.bodyText)
  })

  it('begin with name and password, by a cookie that scripts and other sites do not get', async () => {
    const response = await server.fetch('/api/v1/session', { method: 'POST', body: { name: 'ana', password }, token: null, headers: { Cookie: '__Host-unship=stale' } })

    assert.equal(response.status, 201, response.bodyText)
    const set = response.headers.get('set-cookie')
    for (const part of ['__Host-unship=', 'Path=/', 'Secure', 'HttpOnly', 'SameSite=Strict']) assert.ok(set.includes(part), set)
    assert.equal(response.headers.get('cache-control'), 'no-store')
    cookie = set.split(';')[0]
    csrf = response.json.csrf
    assert.equal(response.json.principal.name, 'ana')
    assert.equal(response.json.environments.staging, undefined)
    assert.ok(response.json.environments.production.includes('execute'))
  })

  it('change nothing without the CSRF token', async () => {
    const set = (headers) => server.fetch('/api/v1/environments/production/flags/z', { method: 'PUT', body: { state: 'on' }, token: null, headers: { Cookie: cookie, ...headers } }).then((response) => response.status)

    assert.equal(await set({}), 403)
    assert.equal(await set({ 'X-CSRF-Token': 'wrong' }), 403)
    assert.equal(await set({ 'X-CSRF-Token': csrf }), 200)
    assert.equal(await set({ 'X-CSRF-Token': csrf, Origin: 'https://evil.example' }), 403)
    assert.equal((await server.fetch('/api/v1/history', { token: null, headers: { Cookie: cookie } })).status, 200)
    assert.equal((await server.fetch('/api/v1/history', { token: null, headers: { Cookie: cookie, Origin: 'https://evil.example' } })).status, 403)
  })

  it('say who is signed in, for tokens too', async () => {
    const session = await server.fetch('/api/v1/session', { token: null, headers: { Cookie: cookie } })
    const token = await server.fetch('/api/v1/session', { token: tokens.viewer })

    assert.equal(session.json.by, 'session')
    assert.equal(session.json.csrf, csrf)
    assert.equal(token.json.by, 'token')
    assert.equal(token.json.csrf, undefined)
    assert.deepEqual(token.json.permissions, ['view'])
  })

  it('prove again who they are', async () => {
    const again = (word) => server.fetch('/api/v1/session/again', { method: 'POST', body: { password: word }, token: null, headers: { Cookie: cookie, 'X-CSRF-Token': csrf } }).then((response) => response.status)

    assert.equal(await again(password), 204)
    assert.equal(await again('wrong'), 401)
  })

  it('end when they sign out', async () => {
    const response = await server.fetch('/api/v1/session', { method: 'DELETE', token: null, headers: { Cookie: cookie, 'X-CSRF-Token': csrf } })

    assert.equal(response.status, 204)
    assert.match(response.headers.get('set-cookie'), /Max-Age=0/)
    assert.equal((await server.fetch('/api/v1/history', { token: null, headers: { Cookie: cookie } })).status, 401)
  })

  it('do not begin with a wrong password, nor after many', async () => {
    const attempt = () => server.fetch('/api/v1/session', { method: 'POST', body: { name: 'ana', password: 'wrong' }, token: null })
    const seen = []
    for (let i = 0; i < 8; i++) seen.push((await attempt()).status)

    assert.equal(seen[0], 401)
    assert.equal(seen.at(-1), 429)
  })
})
