/* A Redis server of a test's own, on a unix socket in a temporary folder, without any file of its data. It must be installed: without it the test fails. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.mjs'

/* The few words of the protocol that a test needs; the same text is the client of workers that a test starts, which have no packages. */
export const client = `
import { createConnection } from 'node:net'

/* call(word, ...) answers a string, a number, null or a list; an error is thrown. */
export function connect(socket) {
  const connection = createConnection(socket), waiting = []
  let bytes = Buffer.alloc(0)

  /* [value, where it ends], or null when more has to come. */
  function read(at) {
    const end = bytes.indexOf('\\r\\n', at)
    if (end < 0) return null
    const kind = String.fromCharCode(bytes[at]), text = bytes.toString('utf8', at + 1, end)
    if (kind === '+') return [text, end + 2]
    if (kind === '-') return [new Error(text), end + 2]
    if (kind === ':') return [Number(text), end + 2]
    if (kind === '$') {
      const size = Number(text)
      if (size < 0) return [null, end + 2]
      return bytes.length < end + 4 + size ? null : [bytes.toString('utf8', end + 2, end + 2 + size), end + 4 + size]
    }
    const list = []
    let next = end + 2
    for (let i = 0; i < Number(text); i++) {
      const one = read(next)
      if (!one) return null
      list.push(one[0])
      next = one[1]
    }
    return [Number(text) < 0 ? null : list, next]
  }

  connection.on('data', (data) => {
    bytes = Buffer.concat([bytes, data])
    for (let one = read(0); one && bytes.length; one = bytes.length ? read(0) : null) {
      bytes = bytes.subarray(one[1])
      const { done, fail } = waiting.shift()
      one[0] instanceof Error ? fail(one[0]) : done(one[0])
    }
  })
  connection.on('error', (error) => waiting.splice(0).forEach(({ fail }) => fail(error)))
  return {
    call(...words) {
      connection.write(\`*\${words.length}\\r\\n\` + words.map((word) => \`$\${Buffer.byteLength(String(word))}\\r\\n\${word}\\r\\n\`).join(''))
      return new Promise((done, fail) => waiting.push({ done, fail }))
    },
    close: () => connection.end(),
  }
}
`
const { connect } = await import(`data:text/javascript,${encodeURIComponent(client)}`)

/* {socket, call(word, ...), stop()} */
export async function startRedis() {
  const dir = mkdtempSync(join((process.env.TMPDIR ?? tmpdir()).length < 60 ? process.env.TMPDIR ?? tmpdir() : '/tmp', 'unship-redis-'))
  const socket = join(dir, 's')
  const child = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', dir], { stdio: 'ignore' })
  const failed = new Promise((_, fail) => child.once('error', fail))
  const end = () => child.kill('SIGKILL')

  process.on('exit', end)
  await Promise.race([failed, eventually(() => new Promise((done, fail) => {
    const probe = createConnection(socket, () => { probe.end(); done(true) })
    probe.once('error', fail)
  }), { what: 'the Redis server' })])
  const connection = connect(socket)
  return {
    socket,
    call: connection.call,
    async stop() {
      connection.close()
      await new Promise((done) => { child.once('exit', done); end() })
      process.off('exit', end)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
