/* What clients send who mean no good, over a socket of their own: the server says no, or says nothing, and goes on serving others. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'
import { startServer } from '../support/server.mjs'

const project = `project: app
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
`
let world
let server

before(async () => {
  world = World.bare(project)
  server = await startServer(world)
})
after(async () => {
  await server.stop()
  world.remove()
})

const statuses = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
const host = 'Host: 127.0.0.1\r\n'
const get = (target, headers = '') => `GET ${target} HTTP/1.1\r\n${host}${headers}Connection: close\r\n\r\n`

describe('requests that two programs could read differently', () => {
  const smuggled = 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
  const cases = {
    'Content-Length and Transfer-Encoding together': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'Content-Length twice': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    'Content-Length twice with one value': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}${smuggled}`,
    'a list as Content-Length': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: 2, 2\r\n\r\n{}${smuggled}`,
    'a sign before Content-Length': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: +2\r\n\r\n{}${smuggled}`,
    'a negative Content-Length': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: -2\r\n\r\n{}${smuggled}`,
    'an endless Content-Length': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length: 99999999999999999999999\r\n\r\n{}${smuggled}`,
    'a coding that hides chunked': `POST /api/v1/session HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'chunked and another coding': `POST /api/v1/session HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'Transfer-Encoding twice': `POST /api/v1/session HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
    'a blank before the colon': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Length : 2\r\n\r\n{}${smuggled}`,
    'a folded header': `POST /api/v1/session HTTP/1.1\r\n${host}X-A: b\r\n Content-Length: 2\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\n{}${smuggled}`,
    'Host twice': `GET /livez HTTP/1.1\r\n${host}Host: elsewhere.example\r\n\r\n${smuggled}`,
    'no Host': `GET /livez HTTP/1.1\r\n\r\n${smuggled}`,
    'a 0 byte in a header': `GET /livez HTTP/1.1\r\n${host}X-A: a\0b\r\n\r\n${smuggled}`,
    'a 0 byte at the end of a header': `GET /livez HTTP/1.1\r\n${host}X-A: ab\0\r\n\r\n${smuggled}`,
    'a 0 byte in the target': `GET /livez\0x HTTP/1.1\r\n${host}\r\n${smuggled}`,
    'a line that ends with CR alone': `POST /api/v1/session HTTP/1.1\r\n${host}X-A: b\rContent-Length: 2\r\n\r\n{}${smuggled}`,
    'a line that ends with LF alone': `POST /api/v1/session HTTP/1.1\r\n${host}X-A: b\nContent-Length: 2\r\n\r\n{}${smuggled}`,
    'a control character in a header': `GET /livez HTTP/1.1\r\n${host}X-A: a\x07b\r\n\r\n${smuggled}`,
    'a header that is not UTF-8': `GET /livez HTTP/1.1\r\n${host}X-A: a\xff\xfeb\r\n\r\n${smuggled}`,
    'a header name that is no token': `GET /livez HTTP/1.1\r\n${host}X(A): b\r\n\r\n${smuggled}`,
    'chunk sizes that are no numbers': `POST /api/v1/session HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n${smuggled}`,
  }
  for (const [name, text] of Object.entries(cases)) {
    it(name, async () => {
      const seen = statuses(await server.raw(text))

      /* What the library refuses by itself, it refuses with its head written twice. */
      for (const status of seen) assert.ok(status === 400 || status === 413, `what was hidden behind it was answered: ${seen}`)
    })
  }

  it('a large head that comes in pieces is no attack', async () => {
    const socket = connect(server.port, '127.0.0.1')
    let got = ''

    socket.on('data', (data) => { got += data })
    for (const piece of get('/livez?a=1&b=2', Array.from({ length: 30 }, (_, i) => `X-Number-${i}: ${'v'.repeat(i)}\r\n`).join('')).match(/[^]{1,37}/g)) {
      await new Promise((done) => socket.write(piece, done))
      await new Promise((done) => setImmediate(done))
    }
    await new Promise((done) => socket.once('close', done))
    assert.deepEqual(statuses(got), [200])
  })

  it('a chunked body as it should be is read, and the next request after it', async () => {
    const body = `POST /api/v1/session HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`

    assert.deepEqual(statuses(await server.raw(body + get('/livez'))), [422, 200])
  })
})

describe('paths', () => {
  for (const target of ['/../etc/passwd', '/api/../../etc/passwd', '/api/v1/%2e%2e/history', '/api/v1/%2E%2E%2Fhistory', '/api%2fv1/history', '/api/v1\\history', '/api%5Cv1',
    '/api//v1/history', '//elsewhere.example/', '/api/v1/history%00', '/api/v1/%0d%0aX-Injected:%20yes', '/%ff%fe', '/%c0%af', '/%', '/%4', '/%zz', '/./livez', 'livez', '/livez#x']) {
    it(target, async () => {
      const text = await server.raw(get(target))

      assert.deepEqual(statuses(text), [400], text)
      assert.ok(!/^X-Injected/im.test(text))
    })
  }

  it('one that is far too long', async () => {
    const seen = statuses(await server.raw(get(`/${'a'.repeat(20000)}`)))

    assert.ok(seen.length <= 1)
    for (const status of seen) assert.ok(status === 414 || status === 431, `${status}`)
  })

  it('in the absolute form, with a name that is not ours', async () => {
    assert.deepEqual(statuses(await server.raw(get('http://elsewhere.example/livez'))), [421])
    assert.deepEqual(statuses(await server.raw(get('http://127.0.0.1/livez'))), [200])
  })
})

describe('too much of it', () => {
  it('header fields: 431, and no memory for more', async () => {
    const many = Array.from({ length: 100 }, (_, i) => `X-${i}: b\r\n`).join('')
    const large = `X-Large: ${'a'.repeat(30000)}\r\n`

    for (const headers of [many, large]) assert.deepEqual(statuses(await server.raw(get('/livez', headers))), [431])
  })

  /* Shortly below what the library can hold it closes the connection without a word. */
  it('a head is answered as long as it is not too long, then with 431', async () => {
    for (let size = 500; size < 8000; size += 250) {
      const [status] = statuses(await server.raw(get('/livez', `X-Large: ${'a'.repeat(size)}\r\n`)))

      assert.ok(size < 2500 ? status === 200 : [200, 431, undefined].includes(status), `${size}: ${status}`)
      if (size >= 3250 && size < 3600) assert.equal(status, 431)
    }
  })

  it('a body that says how large it is: 413 before it is read', async () => {
    const text = await server.raw(`POST /api/v1/session HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n`)

    assert.deepEqual(statuses(text), [413])
    assert.match(text, /^Connection: close/im)
  })

  it('a body in pieces that does not say so: 413, or cut', async () => {
    const piece = `10000\r\n${'a'.repeat(0x10000)}\r\n`
    const text = await server.raw(`POST /api/v1/session HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${piece.repeat(20)}0\r\n\r\n`)
    const endless = await server.raw(`POST /api/v1/session HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${piece.repeat(200)}`)

    assert.deepEqual(statuses(text), [413])
    assert.deepEqual(statuses(endless), [])
  })

  it('JSON that is nested deep, has a name twice, or a 0 byte', async () => {
    for (const body of ['['.repeat(100000), `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`, '{"name":"a","name":"b","password":"c"}', '{"name":"a\\u0000b","password":"c"}', '{"name":', 'x', '[]', '1', '"a"', 'NaN']) {
      const response = await server.fetch('/api/v1/session', { method: 'POST', body, token: null, headers: { 'Content-Type': 'application/json' } })

      assert.ok([413, 422].includes(response.status), `${response.status}: ${body.slice(0, 40)}`)
      assert.equal(response.headers.get('content-type'), 'application/problem+json')
    }
  })

  it('query parameters', async () => {
    const response = await server.fetch(`/api/v1/history?${Array.from({ length: 200 }, (_, i) => `a${i}=1`).join('&')}`)

    assert.equal(response.status, 400)
  })
})

describe('names and origins', () => {
  it('a name that is not ours (DNS rebinding) is refused before anything else', async () => {
    assert.deepEqual(statuses(await server.raw('GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')), [421])
    assert.deepEqual(statuses(await server.raw('GET /livez HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\nConnection: close\r\n\r\n')), [421])
    for (const name of ['localhost', 'localhost:1234', '[::1]:80', '127.0.0.1:80']) assert.deepEqual(statuses(await server.raw(get('/livez').replace('127.0.0.1', name))), [200])
  })

  it('a page of another origin may change nothing', async () => {
    const response = await server.fetch('/api/v1/audit/verify', { method: 'POST', headers: { Origin: 'https://evil.example' } })

    assert.equal(response.status, 403)
    assert.equal(response.headers.get('access-control-allow-origin'), null)
    assert.equal((await server.fetch('/api/v1/audit/verify', { method: 'POST', headers: { Origin: server.url } })).status, 200)
    assert.equal((await server.fetch('/api/v1/audit/verify', { method: 'POST', headers: { Origin: 'null' } })).status, 403)
  })

  it('a token in an address is refused, and said why', async () => {
    for (const query of [`token=${server.token}`, `access_token=${server.token}`, `environment=${server.token}`]) {
      const response = await server.fetch(`/api/v1/history?${query}`)

      assert.equal(response.status, 400)
      assert.match(response.json.detail, /Authorization: Bearer/)
      assert.ok(!response.bodyText.includes(server.token))
    }
  })
})

describe('slowness', () => {
  it('a head that comes byte by byte is cut at its time, though each byte comes in time', async () => {
    const socket = connect(server.port, '127.0.0.1')
    const closed = new Promise((done) => socket.once('close', () => done(Date.now())))
    const text = get('/livez').repeat(3)
    let at = 0
    const begun = Date.now()
    const timer = setInterval(() => socket.write(text[at++ % text.length]), 1000)

    socket.on('error', () => {})
    const ended = await Promise.race([closed, new Promise((done) => setTimeout(() => done(0), 25000))])
    clearInterval(timer)
    socket.destroy()
    assert.ok(ended, 'still open after 25 s')
    assert.ok(ended - begun > 5000, 'cut at once')
  })

  it('many that say nothing do not keep others out', async () => {
    const sockets = Array.from({ length: 200 }, () => connect(server.port, '127.0.0.1').on('error', () => {}))

    assert.equal((await server.fetch('/livez')).status, 200)
    sockets.forEach((socket) => socket.destroy())
  })

  it('it still serves', async () => {
    assert.equal((await server.fetch('/api/v1/history')).status, 200)
    assert.ok(!server.errors().includes('internal'))
  })
})
