/* A PostgreSQL server of a test's own: on a unix socket in a folder of its own, without network. It must be installed: without it the test fails. As root it runs as the user postgres, or nobody. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { eventually } from './eventually.mjs'

const must = (argv, options = {}) => {
  const result = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', ...options })

  assert.equal(result.status, 0, `${argv[0]}: ${result.error ?? result.stderr}`)
  return result.stdout
}

export class Postgres {
  /* files: (folder of the server) => {NAME: TEXT}, written into it as its user before the server starts; the cluster is in data/. */
  static async start({ files = () => ({}) } = {}) {
    const server = new Postgres()

    server.password = 'the secret'
    server.dir = mkdtempSync('/tmp/unship-postgres-')
    server.bin = must(['pg_config', '--bindir']).trim()
    server.as = []
    let own = () => {}

    if (process.geteuid() === 0) {
      const name = spawnSync('id', ['-u', 'postgres']).status === 0 ? 'postgres' : 'nobody'
      const [uid, gid] = [must(['id', '-u', name]).trim(), must(['id', '-g', name]).trim()]

      own = (path) => chownSync(path, Number(uid), Number(gid))
      own(server.dir)
      server.as = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--pdeathsig=INT']
    }
    chmodSync(server.dir, 0o755)
    writeFileSync(join(server.dir, 'words'), `${server.password}\n`)
    const data = join(server.dir, 'data'), log = openSync(join(server.dir, 'log'), 'a')

    must([...server.as, join(server.bin, 'initdb'), '--pgdata', data, '--username=postgres', '--auth=scram-sha-256', '--pwfile', join(server.dir, 'words'),
      '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions'], { cwd: server.dir })
    for (const [name, text] of Object.entries(files(server.dir))) {
      const path = join(server.dir, name)

      if (mkdirSync(dirname(path), { recursive: true })) own(dirname(path))
      writeFileSync(path, text)
      own(path)
    }
    const argv = [...server.as, join(server.bin, 'postgres'), '-D', data, '-k', server.dir, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'shared_buffers=16MB']

    server.process = spawn(argv[0], argv.slice(1), { cwd: server.dir, stdio: ['ignore', log, log] })
    server.ended = new Promise((done) => server.process.once('exit', done))
    await eventually(() => spawnSync(join(server.bin, 'pg_isready'), ['--quiet', '--host', server.dir]).status === 0, { what: 'postgres' })
    return server
  }

  /* Address of a database, with the password in it. */
  address(database) {
    return `host=${this.dir} user=postgres password='${this.password}' dbname=${database}`
  }

  /* What psql prints: a line per row, values with | between. */
  sql(database, statements) {
    return must(['psql', '--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set=ON_ERROR_STOP=1'], {
      input: statements, env: { PATH: process.env.PATH, PGHOST: this.dir, PGUSER: 'postgres', PGPASSWORD: this.password, PGDATABASE: database, PGOPTIONS: '-c client_min_messages=warning' },
    }).trim()
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGQUIT')
    else spawnSync(this.as[0] ?? 'env', [...this.as.slice(1), join(this.bin, 'pg_ctl'), '-D', join(this.dir, 'data'), '-m', 'immediate', '-w', 'stop']) // a test has started it again
    await this.ended
    rmSync(this.dir, { recursive: true, force: true })
  }
}
