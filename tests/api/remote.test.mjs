/* The command line over a server: tokens, plans and questions, runs that are followed, lost connections, and what is said when something else answers. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { Remote } from '../support/remote.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World, freePort, release } from '../world.mjs'

const project = (more = '') => `project: app
environments:
  production: {components: {config: {driver: files, paths: [state/app.env]}}}
${more}`
const worlds = []
function bare(more) {
  const world = World.bare(project(more))
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
  worlds.push(world)
  return world
}
/* Two deployments; the second one is to be taken back. */
function released(more) {
  const world = bare(more)
  world.program = release
  world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'], { program: release })
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=broken\n')
  world.json(['record', 'production', '--version', '2.0.0'], { program: release })
  return world
}
/* A plan with a step that waits until the world's file `go` is there. */
function gatedPlan(world) {
  const go = join(world.dir, 'go')
  const touch = (name) => ({ argv: ['touch', join(world.dir, name)], check: ['test', '-e', join(world.dir, name)] })
  return world.writePlan('gated.json', {
    id: 'gated', name: 'Gated', steps: [
      { id: 'before', type: 'command', parameters: touch('before'), timeout: 30 },
      { id: 'wait', type: 'command', parameters: { argv: ['sh', '-c', `while [ ! -e ${go} ]; do sleep 0.05; done`], check: ['sh', '-c', `test -e ${go}`] }, timeout: 120 },
      { id: 'after', type: 'command', parameters: touch('after'), timeout: 30 },
    ],
  })
}
/* Between the command line and the server: cuts when the test says so. */
function proxy(port) {
  const sockets = new Set()
  const self = { open: true, connections: 0, onRequest: () => {} }
  const server = createServer((near) => {
    if (!self.open) return near.destroy()
    self.connections++
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => { sockets.delete(socket); near.destroy(); far.destroy() })
    }
    near.on('data', (data) => { self.onRequest(data.toString('latin1'), near, far); if (!far.destroyed) far.write(data) })
    far.on('data', (data) => { if (self.onAnswer?.(data.toString('latin1'), near) !== false && !near.destroyed) near.write(data) })
  })
  self.cut = () => sockets.forEach((socket) => socket.destroy())
  self.stop = () => { self.cut(); server.close() }
  return new Promise((done) => server.listen(0, '127.0.0.1', () => { self.url = `http://127.0.0.1:${server.address().port}`; done(self) }))
}
const requested = (world) => world.json(['audit', 'search', '--kind', 'run.requested'], { program: release }).entries.length
/* The lines of the live view: a step each, never one twice. */
const stepLines = (text) => text.split('\n').filter((line) => /^ {2}\S+ +(started|completed)/.test(line)).map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))

after(() => worlds.forEach((world) => world.remove()))

describe('login', () => {
  let world, server, remote, kept
  before(async () => {
    world = bare()
    server = await startServer(world)
    remote = new Remote(server.url)
    kept = join(remote.dir, 'config/unship/servers.json')
  })
  after(async () => { remote.remove(); await server.stop() })

  it('keeps a token from standard input, for its owner alone, and forgets it', async () => {
    assert.match((await remote.run(['runs'])).err, /not signed in to http.*unship login/)
    const login = await remote.run(['login'], { input: `${server.token}\n` })
    assert.equal(login.code, 0, login.err)
    assert.match(login.out, /^admin \(service\)/)
    assert.ok(!(login.out + login.err).includes(server.token))
    assert.equal(statSync(kept).mode & 0o777, 0o600)
    assert.equal(statSync(join(kept, '..')).mode & 0o777, 0o700)
    assert.equal((await remote.json(['whoami'])).principal.name, 'admin')
    assert.deepEqual((await remote.json(['runs'])).runs, [])

    chmodSync(kept, 0o644)
    const refused = await remote.run(['runs'])
    assert.equal(refused.code, 3)
    assert.match(refused.err, /not yours alone/)
    chmodSync(kept, 0o600)

    assert.equal((await remote.run(['logout'])).code, 0)
    assert.equal((await remote.run(['runs'])).code, 3)
    assert.equal((await remote.run(['logout'])).code, 2)
  })

  it('keeps nothing that the server does not accept', async () => {
    for (const input of ['unship_wrong\n', '\n', 'two words\n', '']) {
      assert.notEqual((await remote.run(['login'], { input })).code, 0, input)
      assert.ok(!existsSync(kept) || !readFileSync(kept, 'utf8').includes('unship_'), input)
    }
  })

  it('asks at a terminal and shows nothing of it', () => {
    const { code, screen } = world.terminal(['login', server.url], [['Token for', `${server.token}\r`]], { program: release, env: { XDG_CONFIG_HOME: join(world.dir, 'cfg') }, dir: null })

    assert.equal(code, 0, screen)
    assert.ok(!screen.includes(server.token))
    assert.match(screen, /admin/)
  })

  it('makes a token by name and password, and logout revokes it', async () => {
    assert.equal(world.run(['people', 'add', 'ana', '--grant', 'production=viewer', '--password'], { program: release, input: 'correct horse battery\n' }).code, 0)
    const wrong = await remote.run(['login', '--name', 'ana'], { input: 'wrong horse battery\n' })
    assert.equal(wrong.code, 3)
    assert.match(wrong.err, /name or the password is wrong/)
    assert.doesNotMatch(wrong.err, /unship login/)
    const login = await remote.json(['login', '--name', 'ana', '--expires', '1h'], { input: 'correct horse battery\n' })
    assert.equal(login.principal.name, 'ana')
    assert.doesNotMatch(readFileSync(kept, 'utf8'), /correct/)
    assert.equal((await remote.json(['whoami'])).principal.name, 'ana')
    assert.equal(world.json(['sessions', 'list'], { program: release }).sessions.length, 0, 'the session was ended')
    assert.equal((await remote.run(['flags', 'production', 'set', 'a', 'on'])).code, 3)
    assert.equal((await remote.json(['logout'])).revoked, true)
    assert.equal(world.json(['audit', 'search', '--kind', 'token.revoked'], { program: release }).entries.length, 1)
  })

  it('takes tokens from the environment, and never by an option', async () => {
    const file = join(remote.dir, 'token')
    writeFileSync(file, `${server.token}\n`)
    assert.equal((await remote.json(['whoami'], { env: { UNSHIP_TOKEN_FILE: file } })).principal.name, 'admin')
    assert.equal((await remote.json(['whoami'], { env: { UNSHIP_TOKEN: server.token } })).principal.name, 'admin')
    assert.equal((await remote.json(['whoami'], { server: false, env: { UNSHIP_TOKEN: server.token, UNSHIP_SERVER: `${server.url}/` } })).server, server.url)
    assert.match((await remote.run(['whoami'], { env: { UNSHIP_TOKEN: server.token, UNSHIP_TOKEN_FILE: file } })).err, /which token/)
    assert.match((await remote.run(['whoami'], { env: { UNSHIP_TOKEN_FILE: join(remote.dir, 'none') } })).err, /UNSHIP_TOKEN_FILE/)
    for (const option of ['--token', '--password']) assert.equal((await remote.run(['login', option, 'x'])).code, 2)
  })

  it('whoami without a server tells who one is here', () => {
    assert.equal(world.json(['whoami'], { program: release, env: { UNSHIP_ACTOR: 'eve' } }).principal.name, 'eve')
  })
})

describe('where a command goes', () => {
  it('not over plain http but to loopback, and not to two places', async () => {
    const remote = new Remote('http://127.0.0.1:1', { token: 'x' })
    const code = async (argv, options) => (await remote.run(argv, { server: false, ...options }))

    for (const url of ['http://deploy.example.com', 'http://127.0.0.1.example.com', 'http://[2001:db8::1]/', 'ftp://x', 'deploy', 'https://user@host', 'https://host?x=1', 'http://'])
      assert.equal((await code(['runs', '--server', url])).code, 2, url)
    for (const url of ['http://localhost:1', 'http://127.0.0.2:1', 'http://[::1]:1']) {
      const result = await code(['runs', '--server', url])
      assert.equal(result.code, 6, `${url}: ${result.err}`)
      assert.match(result.err, /refused|cannot|no route|connect/)
    }
    assert.match((await code(['-C', '/', 'runs', '--server', remote.url])).err, /not both/)
    assert.match((await code(['completion', 'bash', '--server', remote.url])).err, /works here/)
    assert.match((await code(['runs', '--ca', 'x'])).err, /--server/)
    remote.remove()
  })

  it('-C means the project there, whatever UNSHIP_SERVER says', () => {
    assert.deepEqual(bare().json(['runs'], { program: release, env: { UNSHIP_SERVER: 'https://deploy.example.com' } }).runs, [])
  })

  it('over TLS with an authority of one\'s own, and not without it', async () => {
    const world = bare('server: {certificate: a.crt, key: a.key}\n')
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
      '-keyout', join(world.app, 'a.key'), '-out', join(world.app, 'a.crt')], { encoding: 'utf8' })
    assert.equal(made.status, 0, made.stderr)
    const server = await startServer(world)
    const remote = new Remote(server.url, { token: server.token })

    const refused = await remote.run(['runs'])
    assert.equal(refused.code, 6)
    assert.match(refused.err, /certificate/)
    assert.deepEqual((await remote.json(['runs', '--ca', join(world.app, 'a.crt')])).runs, [])
    assert.deepEqual((await remote.json(['runs'], { env: { UNSHIP_CA: join(world.app, 'a.crt') } })).runs, [])
    assert.notEqual((await remote.run(['runs', '--ca', join(world.dir, 'none')])).code, 0)
    remote.remove()
    await server.stop()
  })
})

describe('a rollback', () => {
  let world, server, remote
  before(async () => {
    world = released()
    server = await startServer(world)
    remote = new Remote(server.url, { token: server.token })
  })
  after(async () => { remote.remove(); await server.stop() })

  it('is planned and shown first, and changes nothing without a word', async () => {
    const result = await remote.run(['rollback', 'production', '--reason', 'x'])

    assert.equal(result.code, 2)
    assert.match(result.out, /Difference/)
    assert.match(result.err, /--yes or --confirm=production/)
    assert.equal((await remote.run(['rollback', 'production', '--reason', 'x', '--confirm', 'staging'])).code, 2)
    assert.equal(requested(world), 0)
  })

  it('is asked about at a terminal, shown as it runs, and ends with the code that it has here', () => {
    const shown = world.terminal(['rollback', 'production', '--reason', 'x', '--server', server.url], [['Type', 'production\r']], { program: release, env: { UNSHIP_TOKEN: server.token }, dir: null })

    assert.equal(shown.code, 0, shown.screen)
    assert.match(shown.screen, /restore-config/)
    assert.equal(readFileSync(join(world.app, 'state/app.env'), 'utf8'), 'GREETING=hello\n')
    assert.equal(requested(world), 1)
  })

  it('is undone the same way, bound to the plan that was shown', async () => {
    const plan = await remote.json(['undo', '--dry-run'])

    assert.equal(plan.dryRun, true)
    writeFileSync(join(world.app, 'state/app.env'), 'GREETING=by hand\n')
    assert.equal((await remote.run(['undo', '--plan-hash', plan.planHash, '--yes'])).code, 3)
    writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
    assert.equal((await remote.json(['undo', '--yes'])).status, 'completed')
    assert.equal(readFileSync(join(world.app, 'state/app.env'), 'utf8'), 'GREETING=broken\n')
  })

  it('that fails has the code and the answer that it has here', async () => {
    const plan = world.writePlan('fails.json', { id: 'fails', name: 'Fails', steps: [{ id: 'no', type: 'command', parameters: { argv: ['false'], check: ['false'] }, timeout: 5 }] })
    const there = await remote.json(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'], { codes: [1, 5] })
    const here = world.json(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'], { program: release, codes: [1, 5] })

    assert.equal(there.status, here.status)
    assert.equal(there.error.code, here.error.code)
    assert.equal(there.error.message, here.error.message)
  })
})

describe('a run', () => {
  let world, server, remote, middle
  before(async () => {
    world = bare()
    server = await startServer(world)
    middle = await proxy(server.port)
    remote = new Remote(middle.url, { token: server.token })
  })
  after(async () => { remote.remove(); middle.stop(); await server.stop() })
  const go = () => writeFileSync(join(world.dir, 'go'), '')
  const begin = () => {
    for (const name of ['go', 'before', 'after']) spawnSync('rm', ['-f', join(world.dir, name)])
    return remote.start(['rollback', 'production', '--plan', gatedPlan(world), '--reason', 'x', '--yes'])
  }

  it('is followed step by step over connections that break, each step told once', async () => {
    const run = begin()

    await eventually(() => run.err().includes('wait  '))
    const connections = middle.connections
    middle.cut()
    await eventually(() => middle.connections > connections)
    middle.cut()
    go()
    const { code, err } = await run.ended
    assert.equal(code, 0, err)
    assert.deepEqual(stepLines(err), ['before started', 'before completed', 'wait started', 'wait completed', 'after started', 'after completed'])
  })

  it('goes on at the server after Ctrl-C, which says how to follow and cancel it', async () => {
    const run = begin()

    await eventually(() => run.err().includes('wait  '))
    run.child.kill('SIGINT')
    const { code, err } = await run.ended
    assert.equal(code, 130)
    const id = /run (run-\S+) goes on/.exec(err)[1]
    assert.ok(err.includes(`unship status ${id} --watch --server ${middle.url}`), err)
    assert.match(err, /unship cancel run-/)

    const watch = remote.start(['status', id, '--watch'])
    await eventually(() => watch.err().includes('wait  '))
    go()
    const seen = await watch.ended
    assert.equal(seen.code, 0, seen.err)
    assert.equal(stepLines(seen.err).length, 6)
    assert.match(seen.out, /completed/)
  })

  it('is requested once, when the connection is lost after the request arrived', async () => {
    const before = requested(world)
    let lost = 0

    middle.onAnswer = (text, near) => {
      if (lost || !/^HTTP\/1\.1 202/.test(text)) return true
      lost++
      near.destroy()
      return false
    }
    const run = begin()
    await eventually(() => run.err().includes('wait  '))
    go()
    const { code, err } = await run.ended
    middle.onAnswer = undefined
    assert.equal(lost, 1)
    assert.equal(code, 0, err)
    assert.match(err, /trying again/)
    assert.equal(requested(world), before + 1)
  })

  it('is followed across a restart of the server', async () => {
    const run = begin()

    await eventually(() => run.err().includes('wait  '))
    await server.stop()
    server = await startServer(world, { listen: `127.0.0.1:${server.port}`, admin: false })
    go()
    const { code, err } = await run.ended
    assert.equal(code, 0, err)
    assert.equal(new Set(stepLines(err)).size, 6, err)
    assert.ok(stepLines(err).filter((line) => line === 'before completed').length === 1, err)
  })
})

describe('what is no unship server', () => {
  let server, answer, remote, asked
  before(async () => {
    server = createHttpServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      answer(request, response)
    })
    await new Promise((done) => server.listen(0, '127.0.0.1', done))
    remote = new Remote(`http://127.0.0.1:${server.address().port}`, { token: 'unship_test' })
  })
  after(() => { remote.remove(); server.close() })
  const sends = (status, type, body, headers = {}) => { asked = []; answer = (_, response) => response.writeHead(status, { 'Content-Type': type, ...headers }).end(body) }

  it('a proxy that does not reach it', async () => {
    sends(502, 'text/html', '<h1>Bad gateway</h1>')
    const result = await remote.run(['runs'])
    assert.equal(result.code, 6)
    assert.match(result.err, /a proxy answers in place of the server \(502, text\/html\)/)
    assert.doesNotMatch(result.err, /<h1>/)
  })

  it('a web page, a redirect, nonsense', async () => {
    sends(200, 'text/html', '<h1>Welcome</h1>')
    assert.match((await remote.run(['runs'])).err, /no unship server/)
    sends(302, 'text/html', '', { Location: 'https://example.com/' })
    assert.match((await remote.run(['runs'])).err, /redirect \(302\)/)
    sends(200, 'application/json', '{')
    assert.equal((await remote.run(['runs'])).code, 6)
    sends(404, 'text/html', 'no')
    assert.equal((await remote.run(['runs'])).code, 6)
  })

  it('a server of another version', async () => {
    sends(404, 'application/problem+json', JSON.stringify({ code: 'not-found', status: 404, detail: 'there is nothing at /api/v1/rollbacks' }))
    const result = await remote.run(['runs'])
    assert.equal(result.code, 2)
    assert.match(result.err, /another version/)
    sends(422, 'application/problem+json', JSON.stringify({ code: 'of-the-future', status: 422, detail: 'something new' }))
    assert.match((await remote.run(['runs'])).err, /something new/)
  })

  it('one that is busy is asked again, with the same key', async () => {
    const keys = []
    asked = []
    answer = (request, response) => {
      keys.push(request.headers['idempotency-key'])
      if (keys.length < 3) response.writeHead(keys.length === 1 ? 503 : 409, { 'Content-Type': 'application/problem+json', 'Retry-After': '1' }).end('{"code": "conflict", "detail": "still at it"}')
      else response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"intact": true, "entries": 1, "head": "x"}')
    }
    assert.equal((await remote.json(['audit', 'verify'])).intact, true)
    assert.equal(keys.length, 3)
    assert.match(keys[0], /^key-/)
    assert.equal(new Set(keys).size, 1)
  })

  it('what cannot be repeated safely is not, and says so', async () => {
    asked = []
    answer = (request) => request.socket.destroy()
    const result = await remote.run(['people', 'remove', 'ana', '--yes'])
    assert.equal(result.code, 6)
    assert.match(result.err, /whether the server did it is not known/)
    assert.equal(asked.length, 1)
  })

  it('names that would lead elsewhere are not sent', async () => {
    sends(200, 'application/json', '{}')
    for (const id of ['..', '.', '-']) assert.equal((await remote.run(['deployments', 'show', '--', id], { server: false, env: { UNSHIP_SERVER: remote.url } })).code, 2, id)
    assert.deepEqual(asked, [])
    await remote.run(['deployments', 'show', 'a/../b?c#d'])
    assert.deepEqual(asked, ['GET /api/v1/deployments/a%2F..%2Fb%3Fc%23d'])
  })

  it('a port at which nothing listens: exit code 6, at once', async () => {
    const nobody = new Remote(`http://127.0.0.1:${await freePort()}`, { token: 'x' })
    const result = await nobody.run(['rollback', 'production', '--reason', 'x', '--yes'])
    assert.equal(result.code, 6)
    assert.match(result.err, /refused/)
    assert.equal(JSON.parse((await nobody.run(['runs', '--json'])).out).error.code, 'unreachable')
    nobody.remove()
  })

  it('files of the caller that have nowhere to go are refused', async () => {
    mkdirSync(join(remote.dir, 'x'), { recursive: true })
    const result = await remote.run(['snapshots', 'export', 'run-1', join(remote.dir, 'out')])
    assert.equal(result.code, 2)
    assert.match(result.err, /without --server/)
  })
})
