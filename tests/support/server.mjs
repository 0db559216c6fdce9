/* A server under test: `unship serve` on a free port of loopback, in a World, with an administrator's token. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { release } from '../world.mjs'

const started = new Set()
process.on('exit', () => started.forEach((child) => child.kill('SIGKILL')))

/* A token of a principal with these grants ('production=viewer', ...); made on the project's own store, which needs no credential. The principal is made when it is not there. */
export function makeToken(world, name, grants = [], options = []) {
  const run = { program: world.program }
  const people = world.json(['people', 'list'], run).people ?? []
  if (!people.some((person) => person.name === name))
    world.json(['people', 'add', name, '--kind', 'service', ...grants.flatMap((grant) => ['--grant', grant])], run)
  return world.json(['tokens', 'create', 'tests', '--principal', name, ...options], run).token
}

/* {url, port, token, child, errors(), fetch(path, {method, body, token, headers, ...}), stop(), kill(), raw(text)}. fetch sends `body` as JSON when it is no string, and answers the Response with
 * `json` beside it (undefined when it is none). */
export async function startServer(world, { program = release, argv = [], env = {}, admin = true, listen = '127.0.0.1:0' } = {}) {
  world.program = program
  const token = admin ? makeToken(world, 'admin', ['*=admin']) : null
  const child = spawn(program, ['-C', world.app, 'serve', ...(listen ? ['--listen', listen] : []), '--json', ...argv], {
    env: { ...process.env, PATH: `/usr/bin:${process.env.PATH}`, NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  let errors = ''
  started.add(child)
  child.stderr.on('data', (data) => { errors += data })
  const ended = new Promise((done) => child.once('exit', (code, signal) => { started.delete(child); done({ code, signal }) }))
  const url = await new Promise((done, fail) => {
    createInterface({ input: child.stdout }).once('line', (line) => done(JSON.parse(line).url))
    ended.then(({ code, signal }) => fail(new Error(`unship serve ended with ${code ?? signal}: ${errors}`)))
  })
  const port = Number(new URL(url).port)
  const server = {
    url, port, token, child, ended, errors: () => errors,

    async fetch(path, { body, token: own = token, headers = {}, ...options } = {}) {
      const response = await fetch(url + path, {
        signal: AbortSignal.timeout(60000), ...options,
        headers: {
          ...(own ? { Authorization: `Bearer ${own}` } : {}),
          ...(body !== undefined && typeof body !== 'string' ? { 'Content-Type': 'application/json' } : {}),
          ...headers,
        },
        body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
      })
      response.bodyText = await response.text()
      if ((response.headers.get('content-type') ?? '').includes('json') && response.bodyText) response.json = JSON.parse(response.bodyText)
      return response
    },

    /* Bytes as they are over a socket of one's own; everything that comes back until the server closes, or until `enough(text)`. */
    raw(text, { enough = () => false, limit = 30000 } = {}) {
      return new Promise((done, fail) => {
        const socket = connect(port, '127.0.0.1')
        let got = ''
        const timer = setTimeout(() => { socket.destroy(); fail(new Error(`nothing more came after: ${got}`)) }, limit)
        const finish = () => { clearTimeout(timer); socket.destroy(); done(got) }
        socket.on('data', (data) => { got += data.toString('latin1'); if (enough(got)) finish() })
        socket.on('error', () => finish())
        socket.on('close', finish)
        socket.on('connect', () => socket.write(text, 'latin1'))
      })
    },

    async stop() {
      child.kill('SIGTERM')
      return ended
    },

    async kill() {
      child.kill('SIGKILL')
      return ended
    },
  }
  return server
}
