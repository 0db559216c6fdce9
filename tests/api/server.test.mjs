/* Life of the server: where it listens, how it starts and stops, what becomes of runs. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect as connectTls } from 'node:tls'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { World } from '../world.mjs'
import { eventually } from '../support/eventually.mjs'
import { startServer } from '../support/server.mjs'

const project = (more = '') => `project: app
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
${more}`
const worlds = []
const bare = (more) => {
  const world = World.bare(project(more))
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
  worlds.push(world)
  return world
}
const makeCertificate = (world, name, subject = 'localhost') => {
  const result = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${subject}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost',
    '-keyout', join(world.app, `${name}.key`), '-out', join(world.app, `${name}.crt`)], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stderr)
}
/* A plan whose only step takes as long as the file is missing. */
const slowPlan = (world) => world.writePlan('slow.json', {
  id: 'slow', name: 'Slow',
  steps: [{ id: 'wait', type: 'command', parameters: { argv: ['sh', '-c', `while [ ! -e ${join(world.dir, 'go')} ]; do sleep 0.05; done`], check: ['sh', '-c', `test -e ${join(world.dir, 'go')}`] }, timeout: 120 }],
})

after(() => worlds.forEach((world) => world.remove()))

describe('listening', () => {
  it('says where, answers, and ends with code 0 when it is told to', async () => {
    const server = await startServer(bare())

    assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/)
    assert.equal((await server.fetch('/api/v1/history')).status, 200)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  })

  it('on IPv6', async () => {
    const server = await startServer(bare(), { listen: '[::1]:0' })

    assert.match(server.url, /^http:\/\/\[::1\]:\d+$/)
    assert.equal((await server.fetch('/livez')).status, 200)
    await server.stop()
  })

  it('on the address of the project file', async () => {
    const server = await startServer(bare('server: {listen: "127.0.0.2:0"}\n'), { listen: null })

    assert.match(server.url, /^http:\/\/127\.0\.0\.2:\d+$/)
    await server.stop()
  })

  it('not beyond loopback without TLS, and says why', () => {
    const result = bare().run(['serve', '--listen', '0.0.0.0:0'])

    assert.equal(result.code, 3)
    assert.match(result.err, /not loopback.*server\.certificate/)
    assert.doesNotMatch(result.err, /--force/)
  })

  it('not on what is no address, nor on one that is taken, nor without a project', async () => {
    const world = bare()
    const server = await startServer(world)

    for (const address of ['nonsense', '127.0.0.1', '127.0.0.1:99999', '[::1', ':80', 'example.com:80']) {
      const result = world.run(['serve', '--listen', address])

      assert.equal(result.code, 2, address)
      assert.match(result.err, /no address/)
    }
    const taken = world.run(['serve', '--listen', `127.0.0.1:${server.port}`])
    assert.equal(taken.code, 1)
    assert.match(taken.err, /in use.*--listen/)
    assert.doesNotMatch(taken.err, /disk/)
    assert.equal(world.run(['serve', '--listen', '127.0.0.1:0'], { dir: mkdtempSync(join(world.dir, 'empty-')) }).code, 2)
    await server.stop()
  })

  it('tells the service manager when it is ready, and when it stops', async () => {
    const world = bare()
    const path = join(world.dir, 'notify')
    const listener = spawn('python3', ['-S', '-c', 'import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.bind(sys.argv[1]);print("bound",flush=True)\nfor _ in range(2): print(s.recv(100).decode(),flush=True)', path])
    let said = ''
    listener.stdout.on('data', (data) => { said += data })
    await eventually(() => said.includes('bound'))
    const server = await startServer(world, { env: { NOTIFY_SOCKET: path } })
    await eventually(() => said.includes('READY=1'))
    await server.stop()
    await eventually(() => said.includes('STOPPING=1'))
    listener.kill()
  })
})

describe('the first token', () => {
  it('is shown to a terminal, once, and administers', async () => {
    const world = bare()
    const shown = world.terminal(['serve', '--listen', '127.0.0.1:0'], [['not shown again', '\u0003']])
    const token = shown.screen.match(/unship_[A-Za-z0-9_-]+/)?.[0]

    assert.ok(token, shown.screen)
    const server = await startServer(world, { admin: false })
    const me = await server.fetch('/api/v1/session', { token })
    assert.equal(me.status, 200)
    assert.ok(me.json.permissions.includes('administer'))
    assert.ok(!server.errors().includes(token))
    assert.ok(!JSON.stringify(world.json(['audit', 'search'])).includes(token))
    await server.stop()
  })

  it('is not made where nobody looks on', async () => {
    const world = bare()
    const server = await startServer(world, { admin: false })

    await server.stop()
    assert.ok(!server.errors().includes('unship_'))
    assert.match(server.errors(), /nobody administers this server yet.*unship people add NAME/)
    assert.deepEqual(world.json(['people', 'list']).people, [])
    const administered = await startServer(world)
    await administered.stop()
    assert.ok(!administered.errors().includes('nobody administers'))
  })
})

describe('TLS', () => {
  const peer = (server) => new Promise((done, fail) => {
    const socket = connectTls({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => { done(socket.getPeerCertificate().fingerprint256); socket.destroy() })
    socket.on('error', fail)
  })
  const ask = (server) => new Promise((done, fail) => {
    const socket = connectTls({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'))
    let got = ''
    socket.on('data', (data) => { got += data })
    socket.on('close', () => done(got))
    socket.on('error', fail)
  })

  it('with a certificate, which SIGHUP reads again; a pair that does not fit is refused', async () => {
    const world = bare('server: {certificate: a.crt, key: a.key}\n')
    makeCertificate(world, 'a')
    const server = await startServer(world)
    const first = await peer(server)

    assert.match(server.url, /^https:/)
    const answer = await ask(server)
    assert.match(answer, /^HTTP\/1\.1 200/)
    assert.match(answer, /^Strict-Transport-Security: max-age=/im)

    const former = readFileSync(join(world.app, 'a.key'))
    makeCertificate(world, 'a')
    const newer = readFileSync(join(world.app, 'a.key'))
    writeFileSync(join(world.app, 'a.key'), former)
    server.child.kill('SIGHUP')
    await eventually(() => server.errors().includes('does not belong to the certificate'))
    assert.equal(await peer(server), first)

    writeFileSync(join(world.app, 'a.key'), newer)
    server.child.kill('SIGHUP')
    await eventually(async () => (await peer(server)) !== first)
    assert.match(await ask(server), /^HTTP\/1\.1 200/)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  })

  it('does not start with a key of another certificate, or with one of the two', async () => {
    const world = bare('server: {certificate: a.crt, key: b.key}\n')
    makeCertificate(world, 'a')
    makeCertificate(world, 'b')

    assert.match(world.run(['serve', '--listen', '127.0.0.1:0']).err, /does not belong/)
    assert.match(bare('server: {certificate: a.crt}\n').run(['serve', '--listen', '127.0.0.1:0']).err, /belong together/)
  })
})

describe('runs', () => {
  const files = async () => {
    const world = bare()
    world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    writeFileSync(join(world.app, 'state/app.env'), 'GREETING=broken\n')
    world.json(['record', 'production', '--version', '2.0.0'])
    return world
  }

  it('are answered at once with 202, and carried out', async () => {
    const world = await files()
    const server = await startServer(world)
    const begun = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: { reason: 'broken' } })

    assert.equal(begun.status, 202, begun.bodyText)
    assert.equal(begun.headers.get('location'), `/api/v1/rollbacks/${begun.json.rollbackId}`)
    await eventually(async () => (await server.fetch(begun.headers.get('location'))).json.status === 'completed')
    assert.equal(readFileSync(join(world.app, 'state/app.env'), 'utf8'), 'GREETING=hello\n')
    await server.stop()
  })

  it('are waited for by who prefers to, and no worker is held up meanwhile', async () => {
    const world = await files()
    const server = await startServer(world)
    const done = await server.fetch('/api/v1/environments/production/rollbacks', { method: 'POST', body: { reason: 'broken' }, headers: { Prefer: 'wait=60' } })

    assert.equal(done.status, 200, done.bodyText)
    assert.equal(done.json.status, 'completed')
    assert.equal(done.headers.get('preference-applied'), 'wait')
    await server.stop()
  })

  it('are interrupted when the server stops, and taken up by the next start', async () => {
    const world = bare()
    const child = world.start(['rollback', 'production', '--plan', slowPlan(world), '--reason', 'test', '--yes'])
    await eventually(() => world.json(['runs']).runs[0]?.status === 'in_progress')
    child.kill('SIGKILL')
    await new Promise((done) => child.once('exit', done))

    const first = await startServer(world)
    const run = async (server) => {
      const { runs } = (await server.fetch('/api/v1/rollbacks')).json
      return (await server.fetch(`/api/v1/rollbacks/${runs[0].id}`)).json
    }
    await eventually(async () => (await run(first)).carriedOut)
    assert.deepEqual(await first.stop(), { code: 0, signal: null })
    assert.equal(world.json(['status']).carriedOut, false, 'the claim was not let go')

    const second = await startServer(world)
    writeFileSync(join(world.dir, 'go'), '')
    await eventually(async () => !['requested', 'in_progress'].includes((await run(second)).status))
    await second.stop()
  })
})

describe('the log', () => {
  it('has what went wrong, by the id that the client was told, and how runs ended', async () => {
    const world = bare(), server = await startServer(world)

    try {
      const wrong = await server.fetch('/api/v1/deployments/dep-nothing'), right = await server.fetch('/livez')
      assert.equal(wrong.status, 404)
      const line = await eventually(() => server.errors().split('\n').find((text) => text.includes(wrong.headers.get('x-request-id'))))
      assert.match(line, /404/)
      assert.ok(!server.errors().includes(right.headers.get('x-request-id')))
    } finally {
      await server.stop()
    }
  })
})

describe('the end', () => {
  it('finishes what is being answered', async () => {
    const world = bare()
    const server = await startServer(world)
    const asked = Array.from({ length: 20 }, () => server.fetch('/api/v1/audit/verify', { method: 'POST' }).then((response) => response.status, () => 'refused'))

    await Promise.any(asked)
    await server.stop()
    for (const status of await Promise.all(asked)) assert.ok(status === 200 || status === 'refused', `${status}`)
  })

  it('is the same on SIGINT', async () => {
    const server = await startServer(bare())

    server.child.kill('SIGINT')
    assert.deepEqual(await server.ended, { code: 0, signal: null })
  })
})
