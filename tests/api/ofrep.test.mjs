/* Flags as a service, asked by the OpenFeature SDKs as applications use them, and by hand where the protocol's small print is the point. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { OFREPProvider } from '@openfeature/ofrep-provider'
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider'
import { OpenFeature as Server } from '@openfeature/server-sdk'
import { OpenFeature as Web, ProviderEvents } from '@openfeature/web-sdk'
import { EventSource } from 'eventsource'
import { eventually } from '../support/eventually.mjs'
import { startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

const origin = 'https://app.example.com'
const project = `project: app
environments:
  production:
    components:
      flags: {driver: flags}
  staging:
    components:
      flags: {driver: flags}
server:
  origins: ["${origin}"]
`
const definitions = {
  search: `type: string
group: phase-4
variants: {classic: v1, fast: v2, beta: v3}
defaultVariant: fast
offVariant: classic
rules:
  - if: [{attribute: plan, op: equals, value: pro}]
    then: beta
  - if: [{attribute: targetingKey, op: starts_with, value: user-}]
    share: {fast: 0, classic: 100}
`,
  limit: 'type: number\nvariants: {low: 10, high: 2.5}\ndefaultVariant: high\noffVariant: low\n',
  theme: 'type: object\nvariants: {dark: {colours: [black, grey]}, light: {colours: []}}\ndefaultVariant: dark\noffVariant: light\n',
  shared: 'rules: [{share: {on: 100, off: 0}}]',
}

/* Resolves when `event` comes for which `wanted` holds; before, `act` is done. */
async function told(client, event, act, wanted = () => true) {
  let stop
  const came = new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no ${event} in time`)), 20000)
    const handler = (details) => {
      if (!wanted(details)) return
      clearTimeout(timer)
      done(details)
    }
    client.addHandler(event, handler)
    stop = () => client.removeHandler(event, handler)
  })

  await act()
  try {
    return await came
  } finally {
    stop()
  }
}

describe('OpenFeature remote evaluation', () => {
  let world, server, token, wide

  before(async () => {
    world = World.bare(project)
    for (const [key, text] of Object.entries(definitions)) {
      writeFileSync(join(world.app, `${key}.yaml`), text)
      world.json(['flags', 'production', 'define', key, join(world.app, `${key}.yaml`)])
      world.json(['flags', 'production', 'set', key, 'on'])
    }
    world.json(['flags', 'production', 'set', 'checkout', 'on', '--group', 'phase-4'])
    server = await startServer(world)
    await administer('/people', { name: 'app', kind: 'service', grant: ['*=viewer'] })
    token = (await newToken('narrow', { environment: ['production'] })).token
    wide = (await newToken('wide', {})).token
  })
  after(async () => {
    await Server.close()
    await Web.close()
    await server?.stop()
    world?.remove()
  })

  const administer = async (path, body) => {
    const answer = await fetch(`${server.url}/api/v1${path}`, { method: 'POST', headers: { Authorization: `Bearer ${server.token}`, 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

    assert.ok(answer.ok, `${path}: ${answer.status} ${answer.ok || await answer.clone().text()}`)
    return answer.json()
  }
  const newToken = (name, more) => administer('/tokens', { name, principal: 'app', ...more })
  const headers = (extra = {}) => ({ Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...extra })
  const post = (path, body, extra) => fetch(`${server.url}/ofrep/v1/evaluate/flags${path}`, { method: 'POST', headers: headers(extra), body: typeof body === 'string' ? body : JSON.stringify(body ?? {}) })
  const set = (key, state) => world.json(['flags', 'production', 'set', key, state])

  describe('the server SDK', () => {
    let client

    before(async () => {
      await Server.setProviderAndWait(new OFREPProvider({ baseUrl: server.url, headers: [['Authorization', `Bearer ${token}`]] }))
      client = Server.getClient()
    })

    it('gets booleans, texts, numbers and objects', async () => {
      assert.equal(await client.getBooleanValue('checkout', false, {}), true)
      assert.equal(await client.getStringValue('search', 'none', {}), 'v2')
      assert.equal(await client.getNumberValue('limit', 0, {}), 2.5)
      assert.deepEqual(await client.getObjectValue('theme', {}, {}), { colours: ['black', 'grey'] })
    })

    it('is told variant, reason and group', async () => {
      const of = async (context) => {
        const { variant, reason, flagMetadata } = await client.getStringDetails('search', 'none', context)
        return [variant, reason, flagMetadata.group]
      }

      assert.deepEqual(await of({ plan: 'pro' }), ['beta', 'TARGETING_MATCH', 'phase-4'])
      assert.deepEqual(await of({ targetingKey: 'user-1' }), ['classic', 'SPLIT', 'phase-4'])
      assert.deepEqual(await of({ targetingKey: 'guest' }), ['fast', 'DEFAULT', 'phase-4'])
      assert.equal((await client.getBooleanDetails('checkout', false)).reason, 'STATIC')
    })

    it('gets the default of the code for what is not there, or cannot be decided', async () => {
      assert.equal((await client.getBooleanDetails('absent', true)).errorCode, 'FLAG_NOT_FOUND')
      assert.equal(await client.getBooleanValue('absent', true), true)
      assert.equal((await client.getBooleanDetails('shared', false)).errorCode, 'TARGETING_KEY_MISSING')
      assert.equal((await client.getBooleanDetails('shared', false, { targetingKey: 'ana' })).value, true)
      assert.equal((await client.getBooleanDetails('search', false)).errorCode, 'TYPE_MISMATCH')
    })

    it('sees a change that the command line made', async () => {
      set('limit', 'off')
      await eventually(async () => await client.getNumberValue('limit', 0) === 10)
      assert.equal((await client.getNumberDetails('limit', 0)).reason, 'DISABLED')
      set('limit', 'on')
      await eventually(async () => await client.getNumberValue('limit', 0) === 2.5)
    })

    it('with a wrong token gets the default, and no flag', async () => {
      await Server.setProviderAndWait('stranger', new OFREPProvider({ baseUrl: server.url, headers: [['Authorization', `Bearer ${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`]] }))
      const details = await Server.getClient('stranger').getBooleanDetails('checkout', false)
      assert.equal(details.value, false)
      assert.ok(details.errorCode)
    })
  })

  describe('the web SDK', () => {
    const provider = (options) => new OFREPWebProvider({ baseUrl: server.url, headers: [['Authorization', `Bearer ${token}`]], ...options })

    it('that polls sees a whole group go off at once', async () => {
      await Web.setContext('polling', { targetingKey: 'guest', plan: 'pro' })
      await Web.setProviderAndWait('polling', provider({ pollInterval: 50, changeDetection: 'polling' }))
      const client = Web.getClient('polling')

      assert.equal(client.getStringValue('search', 'none'), 'v3')
      assert.equal(client.getBooleanValue('checkout', false), true)
      const details = await told(client, ProviderEvents.ConfigurationChanged, () => world.json(['flags', 'production', 'disable-group', 'phase-4', '--reason', 'errors']))
      assert.deepEqual([...details.flagsChanged].sort(), ['checkout', 'search'], 'one answer held one half of the group')
      assert.equal(client.getBooleanValue('checkout', true), false)
      assert.deepEqual([client.getStringDetails('search', 'none').value, client.getStringDetails('search', 'none').reason], ['v1', 'DISABLED'])
      await told(client, ProviderEvents.ConfigurationChanged, () => set('search', 'on'), () => client.getStringValue('search', 'none') === 'v3')
      await Web.clearProviders()
    })

    it('that listens is told, and does not poll', async () => {
      globalThis.EventSource = EventSource
      try {
        await Web.setContext('listening', { targetingKey: 'guest' })
        await Web.setProviderAndWait('listening', provider({ pollInterval: 0 }))
        const client = Web.getClient('listening')

        await told(client, ProviderEvents.ConfigurationChanged, () => set('checkout', 'on'), () => client.getBooleanValue('checkout', false))
        await told(client, ProviderEvents.ConfigurationChanged, () => set('checkout', 'off'), () => !client.getBooleanValue('checkout', true))
      } finally {
        await Web.clearProviders()
        delete globalThis.EventSource
      }
    })
  })

  describe('the protocol', () => {
    it('bulk answers have an ETag, and 304 while nothing has changed for that context', async () => {
      const first = await post('', { context: { targetingKey: 'guest' } }), etag = first.headers.get('etag'), body = await first.json()

      assert.equal(first.status, 200)
      assert.ok(etag)
      assert.deepEqual(body.flags.map((flag) => flag.key), ['checkout', 'limit', 'search', 'shared', 'theme'])
      assert.equal(body.metadata.environment, 'production')
      const again = await post('', { context: { targetingKey: 'guest' } }, { 'If-None-Match': etag })
      assert.equal(again.status, 304)
      assert.equal(again.headers.get('etag'), etag)
      assert.equal((await post('', { context: { targetingKey: 'guest', plan: 'pro' } }, { 'If-None-Match': etag })).status, 200)
      set('theme', 'light')
      await eventually(async () => (await post('', { context: { targetingKey: 'guest' } }, { 'If-None-Match': etag })).status === 200)
      set('theme', 'on')
      await eventually(async () => (await post('', { context: { targetingKey: 'guest' } }, { 'If-None-Match': etag })).status === 304)
    })

    it('a flag that cannot be decided stands among the others with its error', async () => {
      const { flags } = await (await post('', {})).json(), shared = flags.find((flag) => flag.key === 'shared')

      assert.equal(shared.errorCode, 'TARGETING_KEY_MISSING')
      assert.ok(!('value' in shared))
    })

    for (const [what, path, body, status, code] of [
      ['no JSON', '/checkout', '{"context": ', 400, 'PARSE_ERROR'],
      ['a list', '/checkout', '[]', 400, 'PARSE_ERROR'],
      ['a key twice', '', '{"context": {}, "context": {}}', 400, 'PARSE_ERROR'],
      ['a context that is a text', '/checkout', { context: 'ana' }, 400, 'INVALID_CONTEXT'],
      ['a targetingKey that is a number', '', { context: { targetingKey: 7 } }, 400, 'INVALID_CONTEXT'],
      ['shares without a targetingKey', '/shared', { context: {} }, 400, 'TARGETING_KEY_MISSING'],
      ['an unknown flag', '/absent', {}, 404, 'FLAG_NOT_FOUND'],
      ['a key that is none', '/a%20b%22', {}, 404, 'FLAG_NOT_FOUND'],
    ]) {
      it(`${what} is ${status} ${code}`, async () => {
        const answer = await post(path, body), error = await answer.json()

        assert.deepEqual([answer.status, error.errorCode], [status, code])
        assert.match(answer.headers.get('content-type'), /^application\/json/)
        assert.ok(error.errorDetails)
        if (path && code !== 'INVALID_CONTEXT') assert.ok('key' in error)
      })
    }

    it('another content type is 415, a large body 413', async () => {
      assert.equal((await post('', '{}', { 'Content-Type': 'text/plain' })).status, 415)
      assert.equal((await post('', { context: { a: 'x'.repeat(70000) } })).status, 413)
    })

    it('no credential or a wrong one is 401, an environment that it may not see 403', async () => {
      const answer = await fetch(`${server.url}/ofrep/v1/evaluate/flags`, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } })

      assert.equal(answer.status, 401)
      assert.match(answer.headers.get('www-authenticate'), /Bearer/)
      assert.ok((await answer.json()).errorDetails)
      assert.equal((await post('', {}, { Authorization: 'Bearer unship_wrong' })).status, 401)
      assert.equal((await post('', {}, { 'X-Unship-Environment': 'staging' })).status, 403)
      assert.equal((await post('', {}, { 'X-Unship-Environment': 'elsewhere' })).status, 403)
    })

    it('who may see several environments names one', async () => {
      const authorization = { Authorization: `Bearer ${wide}` }, answer = await post('', {}, authorization)

      assert.equal(answer.status, 400)
      assert.match((await answer.json()).errorDetails, /production, staging.*X-Unship-Environment/)
      assert.equal((await (await post('', {}, { ...authorization, 'X-Unship-Environment': 'production' })).json()).flags.length, 5)
      assert.equal((await (await post('?environment=staging', {}, authorization)).json()).flags.length, 0)
      assert.equal((await post('?environment=nowhere', {}, authorization)).status, 400)
    })

    it('pages of a listed origin are answered, with the ETag readable; others are not', async () => {
      const preflight = await fetch(`${server.url}/ofrep/v1/evaluate/flags`, { method: 'OPTIONS', headers: { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type,if-none-match,x-unship-environment' } })

      assert.equal(preflight.status, 204)
      assert.equal(preflight.headers.get('access-control-allow-origin'), origin)
      for (const header of ['authorization', 'content-type', 'if-none-match', 'x-unship-environment']) assert.ok(preflight.headers.get('access-control-allow-headers').toLowerCase().includes(header), header)
      const answer = await post('', {}, { Origin: origin })
      assert.equal(answer.headers.get('access-control-allow-origin'), origin)
      assert.match(answer.headers.get('access-control-expose-headers'), /ETag/)
      const stranger = await post('', {}, { Origin: 'https://evil.example.com' })
      assert.equal(stranger.status, 403)
      assert.equal(stranger.headers.get('access-control-allow-origin'), null)
    })
  })

  describe('the event stream', () => {
    const address = async () => {
      const { eventStreams: [stream] } = await (await post('', {})).json()

      assert.equal(stream.type, 'sse')
      return new URL(stream.endpoint.requestUri, server.url)
    }

    it('holds no secret, and an altered address opens nothing', async () => {
      const url = await address()

      assert.ok(!url.href.includes(token))
      for (const [name, value] of [['environment', 'staging'], ['until', String(Number(url.searchParams.get('until')) + 1)], ['sign', '0'.repeat(64)]]) {
        const altered = new URL(url)
        altered.searchParams.set(name, value)
        assert.equal((await fetch(altered)).status, 401, name)
      }
    })

    it('says nothing anew to who has seen the newest, and several changes are at least the last', async () => {
      const source = new EventSource(await address()), seen = []

      source.onmessage = (event) => seen.push(event)
      try {
        await eventually(() => seen.length === 1)
        assert.equal(JSON.parse(seen[0].data).type, 'refetchEvaluation')
        set('theme', 'light')
        set('theme', 'on')
        const head = () => Number(world.json(['audit', 'verify']).entries)
        await eventually(() => Number(seen.at(-1).lastEventId) === head())
      } finally {
        source.close()
      }
    })

    it('ends, and its address is void, when a token is revoked', async () => {
      const other = await newToken('leaver', { environment: ['production'] })
      const url = await address(), stream = await fetch(url)

      assert.equal(stream.status, 200)
      await administer(`/tokens/${other.id}/revoke`, {})
      await stream.text() // to its end
      assert.equal((await fetch(url)).status, 401)
      assert.equal((await post('', {}, { Authorization: `Bearer ${token}` })).status, 200)
      assert.equal((await fetch(await address(), { signal: AbortSignal.timeout(5000) })).status, 200)
      await eventually(async () => (await post('', {}, { Authorization: `Bearer ${other.token}` })).status === 401)
    })
  })

  it('a server that stops ends its streams and answers again with new flags after a start', async () => {
    const { eventStreams: [stream] } = await (await post('', {})).json(), open = await fetch(new URL(stream.endpoint.requestUri, server.url))

    await Promise.all([open.text().catch(() => ''), server.stop()])
    set('limit', 'low')
    server = await startServer(world)
    const answer = await (await post('/limit', {})).json()
    assert.equal(answer.value, 10)
  })
})
