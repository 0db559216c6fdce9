/* The world of the crash tests: two deployments that differ in code, configuration, data and flags, the second running and the first known to be good. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { World } from '../world.mjs'

export const atStart = { version: '2.0.0', greeting: 'two', notes: 'old,new', flag: 'new-search=true' }
export const atTarget = { version: '1.0.0', greeting: 'one', notes: 'old', flag: 'new-search=false' }

/* `record: false`: the second is not recorded yet. Everything that a driver can do has an occasion: services are drained, old releases removed, the database is too large to be copied at once, and `other`
 * never had a release. */
export async function prepare({ record = true, probes = true } = {}) {
  const world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {}, '3.0.0': { healthy: false } }, probes, components: '      other: {driver: git-release, repo: ., root: other}' })
  const file = join(world.app, 'unship.yaml')

  writeFileSync(file, readFileSync(file, 'utf8').replace('root: deploy}', 'root: deploy, keep: 2}').replace('grace: 2s', 'grace: 2s\n        drain: {argv: ["true"]}'))
  world.sql('CREATE TABLE bulk AS SELECT hex(zeroblob(20000)) AS filling')
  world.run(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
  world.sql("INSERT INTO notes (text) VALUES ('old')")
  world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
  world.sql("INSERT INTO notes (text) VALUES ('new')")
  world.run(['flags', 'production', 'set', 'new-search', 'on'])
  world.deploy('2.0.0', { greeting: 'two', record })
  return world
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
