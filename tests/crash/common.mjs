/* The world of the crash tests: two deployments that differ in code, configuration, data and flags, the second running and the first known to be good. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { World } from '../world.mjs'

export const atStart = { version: '2.0.0', greeting: 'two', notes: 'old,new', flag: 'new-search=true' }
export const atTarget = { version: '1.0.0', greeting: 'one', notes: 'old', flag: 'new-search=false' }

/* `record: false`: the second is not recorded yet. Everything that a driver can do has an occasion: services are drained, old releases removed, the database is too large to be copied at once, and `other`
 * never had a release. `sealed`: snapshots are encrypted. */
export async function prepare({ record = true, probes = true, sealed = false } = {}) {
  const extra = sealed ? 'snapshots: {seal: {key: {file: seal.key}}}' : ''
  const world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {}, '3.0.0': { healthy: false } }, probes, extra, components: '      other: {driver: git-release, repo: ., root: other}\n      steps: {driver: sqlite, path: state/steps.db, migrations: {tool: sql, dir: steps}}' })
  const file = join(world.app, 'unship.yaml')

  if (sealed) writeFileSync(join(world.app, 'seal.key'), randomBytes(32).toString('base64'))
  writeFileSync(file, readFileSync(file, 'utf8').replace('root: deploy}', 'root: deploy, keep: 2}').replace('grace: 2s', 'grace: 2s\n        drain: {pause: ["true"], requeue: {argv: ["true"]}}'))
  mkdirSync(join(world.app, 'steps'))
  for (const name of ['a', 'b']) {
    writeFileSync(join(world.app, `steps/${name === 'a' ? 1 : 2}_${name}.up.sql`), `CREATE TABLE ${name} (x)`)
    writeFileSync(join(world.app, `steps/${name === 'a' ? 1 : 2}_${name}.down.sql`), `DROP TABLE ${name}`)
  }
  schema(world, "CREATE TABLE unship_migrations (version TEXT PRIMARY KEY); CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO unship_migrations VALUES ('1'), ('2')")
  world.sql('CREATE TABLE bulk AS SELECT hex(zeroblob(20000)) AS filling')
  world.run(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
  world.sql("INSERT INTO notes (text) VALUES ('old')")
  world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
  world.sql("INSERT INTO notes (text) VALUES ('new')")
  world.run(['flags', 'production', 'set', 'new-search', 'on'])
  world.deploy('2.0.0', { greeting: 'two', record })
  return world
}

/* The database whose schema a plan takes back; at the beginning and at the end of every run it has both migrations. */
function schema(world, statement) {
  const result = spawnSync('sqlite3', [join(world.app, 'state/steps.db'), statement], { encoding: 'utf8' })

  assert.equal(result.status, 0, result.stderr)
  return result.stdout.trim()
}

/* Only the release that runs, and one that is so old that the next takes its place. */
export function forgetReleases(world) {
  const releases = join(world.app, 'deploy/releases')

  for (const name of readdirSync(releases)) if (!name.startsWith('v2.0.0')) rmSync(join(releases, name), { recursive: true, force: true })
  mkdirSync(join(releases, 'v0.9.0'))
  writeFileSync(join(releases, 'v0.9.0.json'), '{"version": "v0.9.0", "commit": "0000000000000000000000000000000000000000", "createdMs": 1}')
}

/* The command that takes the world from atStart to atTarget. */
export function rollback(world) {
  const target = world.json(['deployments', 'production']).deployments.find(({ version }) => version === '1.0.0').id

  return { target, command: ['rollback', 'production', '--to', target, '--no-preserve-data', '--reason', 'crash test', '--force', '--yes'] }
}

/* What runs and stands there. A service that was just started may not answer yet. */
export async function look(world) {
  const end = Date.now() + 20000
  let reality = await world.reality()

  while (!reality.version && world.services().length && Date.now() < end) reality = await world.reality()
  const { version, config, notes, flag } = reality
  const applied = schema(world, "SELECT (SELECT group_concat(version) FROM unship_migrations) || ' ' || group_concat(name) FROM (SELECT name FROM sqlite_master WHERE length(name) = 1 ORDER BY name)")

  assert.equal(applied, '1,2 a,b', 'migrations')
  return { version, greeting: /^GREETING=(.*)$/m.exec(config)[1], notes, flag }
}

/* The hashes of the journal's entries, from the first on. */
export function entries(world) {
  return world.json(['audit', 'search', '--limit', '100000']).entries.map((entry) => entry.hash).reverse()
}

export const hasEnded = (run) => ['completed', 'restored', 'failed', 'refused'].includes(run.status)

/* Takes the world from wherever it was left to the end of the run: like the person on call, who resumes what is unfinished. */
export function recover(world, { codes = [0, 1], ...options } = {}) {
  const { runs } = world.json(['runs', '--limit', '1'])

  if (!runs.length || hasEnded(runs[0])) return runs[0]
  const result = world.run(['resume', runs[0].id, '--json'], options)
  assert.ok(codes.includes(result.code), `resume ended with ${result.code}: ${result.out}${result.err}`)
  return world.json(['runs', '--limit', '1']).runs[0]
}
