/* The command line over a server: commands that are given to `unship serve` with --server, from a folder that has no project. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { release } from '../world.mjs'

export class Remote {
  /* `url`: of the server. A token is given by UNSHIP_TOKEN; null: none. */
  constructor(url, { token = null, program = release } = {}) {
    this.url = url
    this.token = token
    this.program = program
    this.dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-remote-'))
  }

  /* {child, ended: {code, signal, out, err}, out(), err()}: while it runs. */
  start(argv, { env = {}, input = '', server = true } = {}) {
    const clean = { ...process.env, PATH: `/usr/bin:${process.env.PATH}`, NO_COLOR: '1', XDG_CONFIG_HOME: join(this.dir, 'config') }
    for (const name of ['UNSHIP_SERVER', 'UNSHIP_TOKEN', 'UNSHIP_TOKEN_FILE', 'UNSHIP_CA']) delete clean[name]
    const child = spawn(this.program, [...argv, ...(server ? ['--server', this.url] : [])], { cwd: this.dir, env: { ...clean, ...(this.token ? { UNSHIP_TOKEN: this.token } : {}), ...env } })
    let out = ''
    let err = ''

    child.stdout.on('data', (data) => { out += data })
    child.stderr.on('data', (data) => { err += data })
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    const ended = new Promise((done) => child.once('close', (code, signal) => done({ code, signal, out, err })))
    return { child, ended, out: () => out, err: () => err }
  }

  run(argv, options) {
    return this.start(argv, options).ended
  }

  async json(argv, { codes = [0], ...options } = {}) {
    const result = await this.run([...argv, '--json'], options)
    if (!codes.includes(result.code)) throw new Error(`unship ${argv.join(' ')} ended with ${result.code ?? result.signal}: ${result.out}${result.err}`)
    return JSON.parse(result.out)
  }

  remove() {
    rmSync(this.dir, { recursive: true, force: true })
  }
}
