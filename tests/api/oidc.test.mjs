/* Signing in by OpenID Connect, with a real provider program: who gets in and with what grants, and that nothing that is forged, replayed, of another browser or out of date does. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { Browser, decode, makeKey, makeToken, publicPem, secret, startProvider } from '../support/oidc.mjs'
import { startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

const session = '__Host-unship'
const key = makeKey()
const pending = '__Host-unship-login'
let provider
let world
let server

const config = (issuer, more = '') => `project: app
server:
  oidc:
    issuer: ${issuer}
    clientId: unship
    clientSecret: {file: secret}
    grants:
      ops:
        - {environment: '*', role: viewer}
        - {environment: production, role: operator, permissions: [force]}
      admins: [{environment: '*', role: admin}]
${more}environments:
  production: {components: {flags: {driver: flags}}}
  staging: {components: {flags: {driver: flags}}}
`

before(async () => {
  provider = await startProvider({})
  world = World.bare(config(provider.issuer))
  writeFileSync(join(world.app, 'secret'), `${secret}\n`)
  server = await startServer(world)
})
after(async () => {
  await server?.stop()
  await provider.stop()
  world.remove()
})
beforeEach(() => {
  provider.token = provider.keys = provider.document = null
  provider.down = false
  provider.accounts = {
    ana: { preferred_username: 'ana', email: 'ana@example.com', groups: ['staff', 'ops'] },
    ben: { preferred_username: 'ben', groups: ['staff'] },
    cho: { email: 'cho@example.com', groups: ['admins'] },
  }
  provider.configure({ redirect: `${server.url}/api/v1/login/oidc/callback`, key })
})

const begin = (browser, query = '') => browser.go(`${server.url}/api/v1/login/oidc${query}`)
/* The address that the provider sends the browser to. */
async function comeBack(browser, login = 'ana', query = '') {
  const first = await begin(browser, query)
  assert.equal(first.status, 303, first.page)
  return browser.through(provider, first.to, login)
}
async function signIn(login = 'ana', { browser = new Browser(), query = '' } = {}) {
  const response = await browser.go(await comeBack(browser, login, query))
  return { browser, response, cookie: browser.jar(server.url).get(session) }
}
const whoAmI = (cookie) => server.fetch('/api/v1/session', { token: null, headers: cookie ? { Cookie: `${session}=${cookie}` } : {} })
const refusals = () => world.json(['audit', 'search', '--kind', 'login.refused', '--limit', '1000']).entries
async function refused(response, status, words) {
  assert.equal(response.status, status, response.page)
  assert.match(response.headers.get('content-type'), /^text\/html/)
  assert.match(response.headers.get('content-security-policy'), /default-src 'none'/)
  assert.match(response.page, words)
  for (const cookie of response.headers.getSetCookie()) assert.doesNotMatch(cookie, /^__Host-unship=./)
}
/* Signs in while the provider's ID token is another one. */
async function withToken(change) {
  provider.token = (answer) => ({ ...answer, id_token: change(...decode(answer.id_token), answer.id_token) })
  return (await signIn()).response
}
const signed = (claims, header = {}) => makeToken({ alg: 'RS256', kid: provider.key.kid, ...header }, claims, provider.key)

describe('signing in', () => {
  it('says how it can be done', async () => {
    assert.deepEqual((await server.fetch('/api/v1/login', { token: null })).json, { methods: ['password', 'oidc'] })
  })

  it('asks the provider with PKCE, state and nonce, all new each time', async () => {
    const asked = [(await begin(new Browser())).to, (await begin(new Browser())).to].map((url) => new URL(url).searchParams)
    for (const query of asked) {
      assert.equal(query.get('response_type'), 'code')
      assert.equal(query.get('code_challenge_method'), 'S256')
      assert.equal(query.get('scope'), 'openid profile email groups')
      assert.equal(query.get('redirect_uri'), `${server.url}/api/v1/login/oidc/callback`)
      for (const name of ['state', 'nonce', 'code_challenge']) assert.match(query.get(name), /^[A-Za-z0-9_-]{43}$/)
    }
    for (const name of ['state', 'nonce', 'code_challenge']) assert.notEqual(asked[0].get(name), asked[1].get(name))
  })

  it('keeps what binds it to the browser in a cookie for this host alone', async () => {
    const [cookie] = (await begin(new Browser())).headers.getSetCookie()
    assert.match(cookie, /^__Host-unship-login=[A-Za-z0-9_-]{43};/)
    for (const attribute of ['Path=/', 'Secure', 'HttpOnly', 'SameSite=Lax', 'Max-Age=600']) assert.match(cookie, new RegExp(`; ${attribute}(;|$)`))
  })

  for (const alg of ['RS256', 'PS256', 'ES256']) {
    it(`ends in a session with the grants of the groups (${alg})`, async () => {
      provider.configure({ alg })
      const { browser, response, cookie } = await signIn('ana', { query: '?next=/environments/production?tab=runs%26x=1' })

      assert.equal(response.status, 303, response.page)
      assert.equal(response.headers.get('location'), '/environments/production?tab=runs&x=1')
      assert.match(cookie, /^[A-Za-z0-9_-]{43}$/)
      assert.equal(browser.jar(server.url).has(pending), false)
      const { json } = await whoAmI(cookie)
      assert.equal(json.by, 'session')
      assert.equal(json.principal.name, 'ana')
      assert.deepEqual(json.principal.grants.map(({ environment, role, permissions }) => [environment, role, permissions ?? []]),
        [['*', 'viewer', []], ['production', 'operator', ['force']]])
    })
  }

  it('is the same principal each time, and may be called otherwise', async () => {
    const first = (await whoAmI((await signIn('cho')).cookie)).json
    const second = (await whoAmI((await signIn('cho')).cookie)).json
    assert.equal(first.principal.name, 'cho@example.com')
    assert.equal(second.principal.id, first.principal.id)
  })

  it('asks for the groups where the ID token does not tell them', async () => {
    provider.configure({ key, short: true })
    const { cookie } = await signIn()
    assert.equal((await whoAmI(cookie)).json.principal.name, 'ana')
    assert.ok(provider.requests.some(({ path }) => path === '/me'))
  })

  it('proves itself to the provider by the secret, in a header', async () => {
    await signIn()
    const { authorization } = provider.requests.findLast(({ path }) => path === '/token')
    assert.equal(Buffer.from(authorization.replace('Basic ', ''), 'base64').toString(), `unship:${secret}`)
  })

  it('gives a browser a new session, whatever it brings along', async () => {
    const browser = new Browser()
    browser.jar(server.url).set(session, 'chosen-by-somebody-else')
    browser.jar(server.url).set(pending, 'chosen-too')
    const first = await signIn('ana', { browser })
    assert.equal(first.response.status, 303)
    assert.notEqual(first.cookie, 'chosen-by-somebody-else')
    const second = await signIn('ana', { browser })
    assert.notEqual(second.cookie, first.cookie)
    assert.equal((await whoAmI('chosen-by-somebody-else')).status, 401)
  })

  it('tells when the proof was given, and asks for a new one when it is to', async () => {
    const browser = new Browser()
    const before = Date.now() - 2000
    const first = (await whoAmI((await signIn('cho', { browser })).cookie)).json
    assert.ok(Date.parse(first.authenticatedAt) >= before)
    const asked = new URL((await begin(browser, '?again=true')).to).searchParams
    assert.equal(asked.get('prompt'), 'login')
    assert.equal(asked.get('max_age'), '0')
    const again = await signIn('cho', { browser, query: '?again=true' })
    assert.equal(again.response.status, 303, again.response.page)
    provider.token = (answer) => { const [header, claims] = decode(answer.id_token); delete claims.auth_time; return { ...answer, id_token: makeToken(header, claims, provider.key) } }
    await refused((await signIn('cho', { browser, query: '?again=true' })).response, 401, /auth_time/)
    const silent = (await whoAmI((await signIn('cho', { browser })).cookie)).json
    assert.ok(Date.parse(silent.authenticatedAt) < before)
  })
})

describe('groups', () => {
  it('without one that is granted something nobody gets in, and the answer says where it was looked', async () => {
    const { response } = await signIn('ben')
    await refused(response, 403, /&#39;groups&#39;/)
    assert.doesNotMatch(response.page, /staff/)
    const entry = refusals().find(({ data }) => data.reason === 'group')
    assert.equal(entry.data.who, 'ben')
  })

  it('one that is gone at the next sign-in is gone here, also for sessions that are open', async () => {
    const first = await signIn('ana')
    provider.accounts.ana.groups = ['admins']
    const second = await signIn('ana')
    assert.deepEqual((await whoAmI(second.cookie)).json.principal.grants.map(({ environment, role }) => [environment, role]), [['*', 'admin']])
    provider.accounts.ana.groups = []
    await refused((await signIn('ana')).response, 403, /no group/)
    /* What a cookie stands for is kept for a second. */
    for (const { cookie } of [first, second]) await eventually(async () => (await whoAmI(cookie)).json.principal.grants.length === 0)
  })

  it('that are no list of texts are none', async () => {
    for (const groups of [{ ops: true }, [['ops']], 7, null, 'ops2', 'op', '']) {
      provider.accounts.ben.groups = groups
      assert.equal((await signIn('ben')).response.status, 403, JSON.stringify(groups))
    }
    provider.accounts.ben.groups = 'ops'
    assert.equal((await signIn('ben')).response.status, 303)
  })
})

describe('who comes back', () => {
  it('with another state, or none, is refused', async () => {
    const browser = new Browser()
    const url = new URL(await comeBack(browser))
    url.searchParams.set('state', 'A'.repeat(43))
    await refused(await browser.go(url.href), 401, /not begun/)
    url.searchParams.delete('state')
    await refused(await browser.go(url.href), 401, /not begun/)
    assert.ok(refusals().some(({ data }) => data.reason === 'state' && data.method === 'oidc' && data.origin === '127.0.0.1'))
  })

  it('in another browser is refused, and then the first one too', async () => {
    const browser = new Browser()
    const url = await comeBack(browser)
    const other = new Browser()
    await begin(other)
    await refused(await other.go(url), 401, /not begun in this browser/)
    await refused(await browser.go(url), 401, /not begun/)
  })

  it('twice is refused the second time', async () => {
    const browser = new Browser()
    const first = await begin(browser)
    const cookie = browser.jar(server.url).get(pending)
    const url = await browser.through(provider, first.to, 'ana')
    assert.equal((await browser.go(url)).status, 303)
    browser.jar(server.url).set(pending, cookie)
    await refused(await browser.go(url), 401, /not begun/)
  })

  it('with a code that was used is refused by the provider', async () => {
    const browser = new Browser()
    const used = new URL(await comeBack(browser)).searchParams.get('code')
    await browser.go(`${server.url}/api/v1/login/oidc/callback?${new URLSearchParams({ code: used, state: 'x' })}`)
    const victim = await signIn()
    assert.equal(victim.response.status, 303)
    const again = new Browser()
    const url = new URL(await comeBack(again))
    url.searchParams.set('code', used)
    /* It was asked for with another verifier. */
    await refused(await again.go(url.href), 401, /invalid_grant/)
  })

  it('from another provider (iss) is refused, and so when the one that always says it does not', async () => {
    for (const change of [(query) => query.set('iss', 'https://evil.example'), (query) => query.delete('iss')]) {
      const browser = new Browser()
      const url = new URL(await comeBack(browser))
      change(url.searchParams)
      await refused(await browser.go(url.href), 401, /\(iss\)/)
    }
  })

  it('having declined there is told so', async () => {
    const browser = new Browser()
    const url = await browser.through(provider, (await begin(browser)).to, 'ana', { deny: true })
    assert.match(url, /error=access_denied/)
    await refused(await browser.go(url), 401, /declined/)
  })

  it('without asking for a page gets a problem document', async () => {
    const response = await server.fetch('/api/v1/login/oidc/callback?state=x&code=y', { token: null })
    assert.equal(response.status, 401)
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
  })

  it('cannot fill the journal, nor lock anybody out', async () => {
    const before = refusals().length
    for (let i = 0; i < 30; i++) await server.fetch('/api/v1/login/oidc/callback?state=x&code=y', { token: null })
    assert.ok(refusals().length <= before + 1)
    assert.equal((await server.fetch('/api/v1/session', { method: 'POST', token: null, body: { name: 'ana', password: 'wrong-password-1' } })).status, 401)
  })
})

describe('an ID token', () => {
  const now = () => Math.floor(Date.now() / 1000)

  it('that is signed again as it was is taken: the tests below can fail', async () => {
    assert.equal((await withToken((header, claims) => signed(claims))).status, 303)
  })
  it('with another nonce is refused', async () => {
    await refused(await withToken((header, claims) => signed({ ...claims, nonce: 'A'.repeat(43) })), 401, /nonce/)
    await refused(await withToken((header, { nonce, ...claims }) => signed(claims)), 401, /nonce/)
  })
  it('that was changed is refused', async () => {
    await refused(await withToken((header, claims, token) => {
      const [head, , signature] = token.split('.')
      return [head, Buffer.from(JSON.stringify({ ...claims, groups: ['admins'] })).toString('base64url'), signature].join('.')
    }), 401, /signature/)
    assert.ok(refusals().some(({ data }) => data.reason === 'id-token'))
  })
  it('without signature, or with one by a shared secret, is refused', async () => {
    for (const alg of ['none', 'None', 'NONE', '']) await refused(await withToken((header, claims) => makeToken({ alg, kid: provider.key.kid }, claims)), 401, /algorithm/)
    await refused(await withToken((header, claims) => `${makeToken({ alg: 'none' }, claims)}${'A'.repeat(342)}`), 401, /algorithm/)
    for (const key of [secret, publicPem(provider.key)]) {
      await refused(await withToken((header, claims) => {
        const text = makeToken({ alg: 'HS256', kid: provider.key.kid }, claims).slice(0, -1)
        return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
      }), 401, /algorithm/)
    }
    await refused(await withToken((header, claims, token) => token.replace(/[^.]*$/, '')), 401, /signature/)
  })
  it('of another key under the same name is refused', async () => {
    const other = makeKey('RS256', provider.key.kid)
    await refused(await withToken((header, claims) => makeToken(header, claims, other)), 401, /signature/)
    await refused(await withToken((header, claims) => makeToken({ ...header, jwk: other.jwk, jku: 'http://127.0.0.1:1/' }, claims, other)), 401, /signature/)
  })
  it('of another issuer, for somebody else, or of another time is refused', async () => {
    for (const [more, words] of [
      [{ iss: `${provider.issuer}/` }, /iss/], [{ aud: 'other' }, /aud/], [{ aud: ['unship', 'other'] }, /azp/], [{ azp: 'other' }, /azp/],
      [{ exp: now() - 120 }, /exp/], [{ iat: now() + 600 }, /iat/], [{ nbf: now() + 600 }, /nbf/], [{ exp: undefined }, /exp/], [{ sub: '' }, /sub/], [{ sub: undefined }, /sub/],
    ]) await refused(await withToken((header, claims) => signed({ ...claims, ...more })), 401, words)
    for (const more of [{ aud: ['unship'] }, { aud: ['unship', 'other'], azp: 'unship' }, { exp: now() - 30 }, { iat: now() + 30 }])
      assert.equal((await withToken((header, claims) => signed({ ...claims, ...more }))).status, 303, JSON.stringify(more))
  })
  it('with a header that asks for more, or that is no token at all, is refused', async () => {
    await refused(await withToken((header, claims) => signed(claims, { crit: ['b64'], b64: false })), 401, /crit/)
    for (const token of ['', 'x', 'a.b', 'a.b.c', 'a.b.c.d', '..', 'e30.e30.e30', 7, null, {}]) await refused(await withToken(() => token), 401, /token/)
  })
  it('with a key that the provider took in meanwhile is taken, after one look', async () => {
    await signIn()
    const looked = () => provider.requests.filter(({ path }) => path === '/jwks').length
    const before = looked()
    provider.configure({})
    assert.equal((await signIn()).response.status, 303)
    assert.equal((await signIn()).response.status, 303)
    assert.equal(looked(), before + 1)
  })
})

describe('where the browser goes then', () => {
  it('is this server', async () => {
    for (const next of ['//evil.example', '/\\evil.example', '\\\\evil.example', '/\t/evil.example', '/a\r\nSet-Cookie: x=1', 'https://evil.example', 'javascript:alert(1)', 'evil', '/a\\..\\b',
      '/api/v1/login/oidc', `/${'a'.repeat(2000)}`, '/\u0000'])
      assert.ok([400, 422].includes((await begin(new Browser(), `?next=${encodeURIComponent(next)}`)).status), next)
  })
  it('keeps what stands in the path', async () => {
    for (const [next, location] of [['/ä b', '/%C3%A4%20b'], ['/a?x=1#y', '/a?x=1#y'], ['/%2F%2Fevil.example', '/%2F%2Fevil.example'], ['', '/']]) {
      const { response } = await signIn('ana', { query: `?next=${encodeURIComponent(next)}` })
      assert.equal(response.headers.get('location'), location)
      assert.equal(new URL(response.headers.get('location'), server.url).origin, server.url)
    }
  })
})

describe('secrets', () => {
  it('stand in no entry and no line of the log', async () => {
    const token = []
    provider.token = (answer) => { token.push(answer.id_token, answer.access_token); return answer }
    const { cookie } = await signIn()
    const said = JSON.stringify(world.json(['audit', 'search', '--limit', '10000'])) + server.errors()
    for (const value of [secret, cookie, ...token]) assert.equal(said.includes(value), false)
  })
})

describe('a provider', () => {
  const other = async (issuer, check, more) => {
    const second = World.bare(config(issuer, more))
    writeFileSync(join(second.app, 'secret'), secret)
    const there = await startServer(second)
    try { await check(there) } finally { await there.stop(); second.remove() }
  }
  const page = (there) => fetch(`${there.url}/api/v1/login/oidc`, { redirect: 'manual', headers: { Accept: 'text/html' } })

  it('that calls itself otherwise is not used', async () => {
    await other(`${provider.issuer}/`, async (there) => {
      const response = await page(there)
      assert.equal(response.status, 422)
      assert.match(await response.text(), /call itself/)
    })
  })
  it('that is not there is said to be so, and used when it is back', async () => {
    await other(provider.issuer, async (there) => {
      provider.down = true
      assert.equal((await page(there)).status, 503)
      provider.down = false
      let status = 503
      for (const until = Date.now() + 30000; status === 503 && Date.now() < until;) ({ status } = await page(there))
      assert.equal(status, 303)
    })
  })
  it('whose document names an address without TLS elsewhere is not used', async () => {
    provider.document = (document) => ({ ...document, token_endpoint: 'http://evil.example/token' })
    await other(provider.issuer, async (there) => {
      const response = await page(there)
      assert.equal(response.status, 422)
      assert.match(await response.text(), /token_endpoint/)
    })
  })
  it('is not asked for its keys without end because a token names one that nobody knows', async () => {
    await other(provider.issuer, async (there) => {
      provider.configure({ redirect: `${there.url}/api/v1/login/oidc/callback`, key })
      let looked = 0
      provider.keys = (keys) => { looked++; return keys }
      provider.token = (answer) => { const [header, claims] = decode(answer.id_token); return { ...answer, id_token: makeToken({ ...header, kid: 'unknown' }, claims, key) } }
      for (let i = 0; i < 12; i++) {
        const browser = new Browser()
        await refused(await browser.go(await browser.through(provider, (await browser.go(`${there.url}/api/v1/login/oidc`)).to, 'ana')), 401, /key/)
      }
      /* One look for the first, and at most six a minute because of a key that is not there. */
      assert.ok(looked >= 2 && looked <= 7, `${looked}`)
    })
  })
  it('whose document names another port of this machine is not followed there', async () => {
    provider.document = (document) => ({ ...document, jwks_uri: 'http://127.0.0.1:1/jwks' })
    await other(provider.issuer, async (there) => {
      provider.configure({ redirect: `${there.url}/api/v1/login/oidc/callback` })
      const browser = new Browser()
      const url = await browser.through(provider, (await browser.go(`${there.url}/api/v1/login/oidc`)).to, 'ana')
      const response = await browser.go(url)
      assert.match(response.page, /sends no request/)
      assert.notEqual(response.status, 303)
    })
  })
  it('that nobody named: there is no such way to sign in', async () => {
    const plain = World.bare('project: app\nenvironments: {production: {components: {flags: {driver: flags}}}}\n')
    const there = await startServer(plain)
    try {
      assert.equal((await there.fetch('/api/v1/login/oidc', { token: null })).status, 404)
      assert.equal((await there.fetch('/api/v1/login/oidc/callback', { token: null })).status, 404)
      assert.deepEqual((await there.fetch('/api/v1/login', { token: null })).json, { methods: ['password'] })
    } finally { await there.stop(); plain.remove() }
  })
  it('is told the public address', async () => {
    await other(provider.issuer, async (there) => {
      assert.equal(new URL((await page(there)).headers.get('location')).searchParams.get('redirect_uri'), 'https://unship.example.com/api/v1/login/oidc/callback')
      assert.equal((await there.fetch('/api/v1/login', { token: null })).status, 200)
    }, '  publicUrl: https://unship.example.com\n')
  })
})

describe('docs/oidc.md', () => {
  const text = readFileSync(new URL('../../docs/oidc.md', import.meta.url), 'utf8')

  it('its project file is right', () => {
    const written = World.bare(/```yaml\n([^]*?)```/.exec(text)[1])
    try { written.json(['config', 'check']) } finally { written.remove() }
  })
  it('tells every reason that a sign-in is refused for', () => {
    const source = readFileSync(new URL('../../src/surface/http/oidc.c', import.meta.url), 'utf8')
    const reasons = [...source.matchAll(/coming->reason = "([a-z-]+)"/g)].map(([, reason]) => reason)
    assert.deepEqual([...text.slice(text.indexOf('| reason |')).matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, reason]) => reason).toSorted(), reasons.toSorted())
  })
})
