/* A world for black-box tests: a temporary project with a real Git repository, a real web service, an SQLite database, a configuration and flags, and the program
 * under test beside it. Everything is removed at the end, and only processes that the world started are ended. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync, mkdirSync, readFileSync, readlinkSync, existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
export const release = process.env.UNSHIP ?? join(root, 'build/unship')
export const withFailpoints = process.env.UNSHIP_DEBUG ?? join(root, 'build/debug/src/unship')
export const source = join(root, 'src')

const service = `
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
VERSION = "@VERSION@"
HEALTHY = "@HEALTHY@" == "yes"
with open(os.path.join(os.environ["APP_STATE"], "starts.log"), "a") as log:
    log.write(VERSION + "\\n")
class App(BaseHTTPRequestHandler):
    def log_message(self, *arguments): pass
    def do_GET(self):
        body = json.dumps({"version": VERSION}).encode()
        self.send_response(200 if HEALTHY or self.path == "/ready" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
`

export async function freePort() {
  return new Promise((done, fail) => {
    const server = createServer()
    server.once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => done(port))
    })
  })
}

export class World {
  constructor(dir, port) {
    this.dir = dir
    this.port = port
    this.app = join(dir, 'app')
  }

  /* versions: {'1.0.0': {healthy: true}, ...}; each is a commit with tag v1.0.0. `config: false` leaves out the component of that name; `sandbox`: the service can be rehearsed, on a port of its own. */
  static async make({ versions = { '1.0.0': {}, '2.0.0': {} }, components = '', probes = true, extra = '', config = true, sandbox = false } = {}) {
    const world = new World(mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-world-')), await freePort())

    world.hasConfig = config
    world.sandboxPort = sandbox ? await freePort() : null

    mkdirSync(join(world.app, 'state'), { recursive: true })
    world.git('init', '-q', '-b', 'main')
    world.git('config', 'user.name', 'test')
    world.git('config', 'user.email', 'test@example.com')
    for (const [version, { healthy = true }] of Object.entries(versions)) {
      writeFileSync(join(world.app, 'service.py'), service.replace('@VERSION@', version).replace('@HEALTHY@', healthy ? 'yes' : 'no'))
      world.git('add', 'service.py')
      world.git('commit', '-q', '-m', `Release ${version}`)
      world.git('tag', '-a', `v${version}`, '-m', `Release ${version}`)
    }
    writeFileSync(join(world.app, 'state/app.env'), '# settings of the service\nGREETING=hello\nLIMIT=10 # rows\n')
    world.sql('CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL); PRAGMA user_version = 1')
    writeFileSync(join(world.app, 'unship.yaml'), world.project(components, probes, extra))
    return world
  }

  /* A project without repository and service: only the given project file and a folder state/. */
  static bare(project) {
    const world = new World(mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-world-')), 0)

    mkdirSync(join(world.app, 'state'), { recursive: true })
    writeFileSync(join(world.app, 'unship.yaml'), project)
    return world
  }

  project(components, probes, extra) {
    return `project: app
environments:
  production:
    components:
      code: {driver: git-release, repo: ., root: deploy}
${this.hasConfig ? '      config: {driver: files, paths: [state/app.env]}' : ''}
      db: {driver: sqlite, path: state/app.db}
      flags: {driver: flags, group: beta}
      api:
        driver: process
        argv: [python3, -S, service.py, "${this.port}"]
        dir: deploy/current
        env: {APP_STATE: "${this.app}/state"}
        grace: 2s
        ready: {type: http, url: "http://127.0.0.1:${this.port}/ready"}
        critical: true
        needs: [code, ${this.hasConfig ? 'config, ' : ''}db]
${this.sandboxPort ? `        sandbox:
          argv: [python3, -S, service.py, "${this.sandboxPort}"]
          env: {APP_STATE: "\${sandbox.dir}/state"}
          ready: {type: http, url: "http://127.0.0.1:${this.sandboxPort}/ready"}` : ''}
${components}
${probes ? `    probes:
      api-http: {type: http, url: "http://127.0.0.1:${this.port}/", timeout: 2s, component: api${this.sandboxPort ? `, sandbox: {url: "http://127.0.0.1:${this.sandboxPort}/"}` : ''}}` : ''}
${extra}
`
  }

  git(...argv) {
    const result = spawnSync('git', argv, { cwd: this.app, encoding: 'utf8' })
    if (result.status !== 0) throw new Error(`git ${argv.join(' ')}: ${result.stderr}`)
    return result.stdout.trim()
  }

  sql(statement) {
    const result = spawnSync('sqlite3', [join(this.app, 'state/app.db'), statement], { encoding: 'utf8' })
    if (result.status !== 0) throw new Error(`sqlite3: ${result.stderr}`)
    return result.stdout.trim()
  }

  /* Runs the program to its end: {code, signal, out, err}. */
  run(argv, { program = release, env = {}, input, cwd, dir = this.app } = {}) {
    const result = spawnSync(program, ['-C', dir, ...argv], {
      encoding: 'utf8', env: { ...process.env, PATH: `/usr/bin:${process.env.PATH}`, NO_COLOR: '1', ...env }, input, cwd, timeout: 120000, maxBuffer: 1 << 28,
    })
    return { code: result.status, signal: result.signal, out: result.stdout, err: result.stderr }
  }

  /* The answer of a command with --json; throws when it did not end with one of `codes` (7: recorded, and the deployment before cannot be returned to). */
  json(argv, { codes = argv[0] === 'record' ? [0, 7] : [0], ...options } = {}) {
    const result = this.run([...argv, '--json'], options)
    if (!codes.includes(result.code)) throw new Error(`unship ${argv.join(' ')} ended with ${result.code ?? result.signal}: ${result.out}${result.err}`)
    return JSON.parse(result.out)
  }

  /* Runs the program at a terminal and talks with it: [[what it shows, what is typed], ...]: {code, screen}. */
  terminal(argv, talk = [], { program = release, env = {}, columns = 100, dir = this.app } = {}) {
    const wanted = { argv: [program, ...(dir ? ['-C', dir] : []), ...argv], talk, env, columns }
    const result = spawnSync('python3', ['-S', join(root, 'tests/terminal.py'), JSON.stringify(wanted)], { encoding: 'utf8', timeout: 120000, env: { ...process.env, NO_COLOR: '' } })
    if (result.status !== 0) throw new Error(`tests/terminal.py: ${result.stderr}`)
    return JSON.parse(result.stdout)
  }

  /* A command in the background. */
  start(argv, { program = release, env = {} } = {}) {
    return spawn(program, ['-C', this.app, ...argv], { env: { ...process.env, PATH: `/usr/bin:${process.env.PATH}`, NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  writePlan(name, plan) {
    const path = join(this.dir, name)
    writeFileSync(path, typeof plan === 'string' ? plan : JSON.stringify(plan))
    return path
  }

  /* Deploys a version by a plan of its own, and records it. */
  deploy(version, { greeting = 'hello', status, record = true } = {}) {
    const plan = this.writePlan(`deploy-${version}.json`, {
      id: `deploy-${version}`, name: `Deploy ${version}`,
      steps: [
        { id: 'stop', type: 'service', parameters: { service: 'api', action: 'stop' }, timeout: 20 },
        { id: 'release', type: 'deployment', parameters: { service: 'code', version: `v${version}`, environment: 'production' }, timeout: 60 },
        ...(this.hasConfig ? [{ id: 'configure', type: 'configuration', parameters: { service: 'config', configItems: { GREETING: greeting } }, timeout: 20 }] : []),
        { id: 'start', type: 'service', parameters: { service: 'api', action: 'start' }, timeout: 20 },
      ],
    })
    this.json(['rollback', 'production', '--plan', plan, '--reason', `deploy ${version}`, '--yes'])
    if (record) return this.json(['record', 'production', '--version', version, ...(status ? ['--status', status] : [])])
  }

  /* What really runs and stands there, without asking unship. */
  async reality() {
    let version = null

    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/`, { signal: AbortSignal.timeout(2000) })
      version = (await response.json()).version
    } catch {
      version = null
    }
    return {
      version,
      config: readFileSync(join(this.app, 'state/app.env'), 'utf8'),
      notes: this.sql('SELECT group_concat(text) FROM notes'),
      flag: this.json(['flags', 'production', 'list']).flags.map((flag) => `${flag.key}=${flag.state}`).join(),
    }
  }

  starts() {
    const path = join(this.app, 'state/starts.log')
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  }

  /* Processes of the services that were started in this world, whatever unship knows of them. */
  services() {
    return readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes('UNSHIP_SERVICE=') && `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${this.app}/`)
      } catch {
        return false // gone, or somebody else's
      }
    }).map(Number)
  }

  endServices() {
    for (let pids = this.services(); pids.length; pids = this.services()) {
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch { /* gone meanwhile */ }
      }
    }
  }

  remove() {
    this.endServices()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
