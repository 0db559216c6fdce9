/* A MariaDB server of a test's own, on a unix socket in a temporary folder, without network. It must be installed: without it the test fails. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.mjs'

/* {socket, sql(statements), stop()}: sql answers what the client prints, a line per row, values with tabs between. User root has no password. */
export async function startMariadb() {
  const top = process.env.TMPDIR ?? tmpdir(), dir = mkdtempSync(join(top.length < 60 ? top : '/tmp', 'unship-mariadb-'))
  const socket = join(dir, 's'), data = join(dir, 'data'), usual = '/usr/sbin/mariadbd' // which is not in everybody's PATH
  const user = process.getuid() === 0 ? ['--user=root'] : []
  const made = spawnSync('mariadb-install-db', ['--no-defaults', '--auth-root-authentication-method=normal', '--skip-test-db', `--datadir=${data}`, `--tmpdir=${dir}`, ...user], { encoding: 'utf8' })

  if (made.status !== 0) throw new Error(`mariadb-install-db: ${made.error ?? made.stderr}`)
  const log = openSync(join(dir, 'log'), 'a')
  const child = spawn(existsSync(usual) ? usual : 'mariadbd', ['--no-defaults', `--datadir=${data}`, `--socket=${socket}`, `--tmpdir=${dir}` /* a server that starts removes the temporary tables that are there */, '--skip-networking', '--innodb-buffer-pool-size=32M',
    '--innodb-flush-log-at-trx-commit=0', '--character-set-server=utf8mb4', ...user], { stdio: ['ignore', log, log] })
  const failed = new Promise((_, fail) => child.once('error', fail))
  const end = () => child.kill('SIGKILL')

  process.on('exit', end)
  await Promise.race([failed, eventually(() => new Promise((done, fail) => {
    const probe = createConnection(socket, () => { probe.end(); done(true) })
    probe.once('error', fail)
  }), { what: 'the MariaDB server' })])
  return {
    socket,
    sql(statements, database = '') {
      const said = spawnSync('mariadb', ['--no-defaults', '--socket', socket, '--user', 'root', '--batch', '--skip-column-names', '--raw', ...(database ? [database] : [])],
        { input: statements, encoding: 'utf8' })
      if (said.status !== 0) throw new Error(`mariadb: ${said.error ?? said.stderr}`)
      return said.stdout.trim()
    },
    async stop() {
      await new Promise((done) => { child.once('exit', done); end() })
      process.off('exit', end)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
