/* A provider of OpenID Connect (npm oidc-provider) on loopback, and a browser that goes through it by fetch with a cookie jar. What the provider answers can be changed on its way: token(answer) and keys(answer). */
import { createPublicKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

export const secret = 'canary-7d1c-oidc-client-secret'

export function makeKey(alg = 'RS256', kid = randomUUID()) {
  const { privateKey } = alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { alg, kid, privateKey, jwk: { ...privateKey.export({ format: 'jwk' }), alg, kid, use: 'sig' } }
}
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
export const decode = (token) => token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))

/* A token of one's own making: signed with any key, or with none. */
export function makeToken(header, claims, key) {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${key ? sign('sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url') : ''}`
}
export const publicPem = (key) => createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' })

/* accounts: {NAME: {groups, ...}}: claims by login name. */
export async function startProvider(accounts) {
  const provider = {
    accounts, requests: [], token: null, keys: null, document: null, down: false, current: null, key: null,

    /* What the provider is from now on: its client's redirect, the algorithm, its key. */
    configure({ redirect = provider.redirect, alg = 'RS256', key = makeKey(alg), short = false } = {}) {
      provider.redirect = redirect
      provider.key = key
      provider.current = new Provider(provider.issuer, {
        clients: [{
          client_id: 'unship', client_secret: secret, redirect_uris: [redirect], response_types: ['code'], grant_types: ['authorization_code'],
          token_endpoint_auth_method: 'client_secret_basic', id_token_signed_response_alg: alg,
        }],
        jwks: { keys: [key.jwk] },
        cookies: { keys: ['of the test'] },
        claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'], groups: ['groups'] },
        conformIdTokenClaims: short,
        enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
        pkce: { methods: ['S256'], required: () => true },
        ttl: { Session: 3600, Interaction: 600, Grant: 3600, AccessToken: 600, IdToken: 600 },
        findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...provider.accounts[id] }) }),
      }).callback()
    },
    stop() {
      server.closeAllConnections()
      return new Promise((done) => server.close(done))
    },
  }

  /* The provider's answer, taken from it before it is sent. */
  function changed(request, response, change) {
    const write = response.end.bind(response)
    response.end = (body) => {
      const text = response.statusCode === 200 ? JSON.stringify(change(JSON.parse(body.toString()))) : body
      response.setHeader('Content-Length', Buffer.byteLength(text ?? ''))
      return write(text)
    }
    provider.current(request, response)
  }
  const server = createServer((request, response) => {
    const path = request.url.split('?')[0]
    provider.requests.push({ path, authorization: request.headers.authorization })
    if (provider.down) { response.statusCode = 500; return response.end() }
    const change = { '/token': provider.token, '/jwks': provider.keys, '/.well-known/openid-configuration': provider.document }[path]
    return change ? changed(request, response, change) : provider.current(request, response)
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  provider.issuer = `http://127.0.0.1:${server.address().port}`
  return provider
}

/* Cookies by origin, as a browser keeps them (the port counts here, as if each were a host). */
export class Browser {
  cookies = new Map()

  jar(url) {
    const { origin } = new URL(url)
    if (!this.cookies.has(origin)) this.cookies.set(origin, new Map())
    return this.cookies.get(origin)
  }

  async go(url, options = {}) {
    const jar = this.jar(url)
    const response = await fetch(url, {
      redirect: 'manual', signal: AbortSignal.timeout(60000), ...options,
      headers: { Accept: 'text/html', ...(jar.size ? { Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } : {}), ...options.headers },
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)
      if (value === '' || /Max-Age=0/i.test(cookie)) jar.delete(name)
      else jar.set(name, value)
    }
    response.page = await response.text()
    response.to = response.headers.has('location') ? new URL(response.headers.get('location'), url).href : null
    return response
  }

  /* From the provider's first page to the address of the callback, which is not visited. */
  async through(provider, url, login, { deny = false } = {}) {
    for (let i = 0; i < 20; i++) {
      if (url.startsWith(provider.redirect)) return url
      let response = await this.go(url)
      const prompt = /name="prompt" value="(\w+)"/.exec(response.page)?.[1]
      if (prompt && deny) response = await this.go(new URL(/href="([^"]+\/abort)"/.exec(response.page)[1], url).href)
      else if (prompt) {
        const action = /action="([^"]+)"/.exec(response.page)[1]
        response = await this.go(new URL(action, url).href, {
          method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ prompt, login, password: 'any' }).toString(),
        })
      }
      if (!response.to) throw new Error(`the provider answered ${response.status}: ${response.page}`)
      url = response.to
    }
    throw new Error('the provider does not come to an end')
  }
}
