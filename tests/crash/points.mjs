/* The named points of the program, and how the tests kill it there: crash.test.mjs while it rolls back and restores, recovery.test.mjs while it recovers. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { source, withFailpoints } from '../world.mjs'
import { atStart, forgetReleases, look, prepare, rollback } from './common.mjs'

/* Every name in the source. */
function failpoints(dir = source) {
  const names = new Set()

  for (const entry of readdirSync(dir)) {
    const path = join(dir, entry)
    if (statSync(path).isDirectory()) failpoints(path).forEach((name) => names.add(name))
    else if (path.endsWith('.c')) for (const match of readFileSync(path, 'utf8').matchAll(/FAILPOINT\("([^"]+)"\)/g)) names.add(match[1])
  }
  return names
}

export const names = [...failpoints()].sort()
/* Points that other tests kill at: drill.test.mjs, snapshot-copy.test.mjs; those of the snapshot store that no run passes, test_snapshot_crash.c. */
const elsewhere = names.filter((name) => /^(drill|sandbox|copy)\./.test(name) || /^snapshot\.(exported|key_wrapped|removed|swept_key|swept_names|swept_object)$/.test(name))

/* Points of drivers whose servers this world does not have: the contract suite kills there, in worlds that list them. A driver of which any point is passed here must be killed at all of them here. */
export function withContracts(passed) {
  const worlds = join(source, '../tests/contract/drivers'), here = new Set([...passed].map((name) => name.split('.')[0]))
  const listed = readdirSync(worlds).filter((file) => file.startsWith('world_')).flatMap((file) => [...readFileSync(join(worlds, file), 'utf8').matchAll(/"([a-z_]+\.[a-z_]+)"/g)].map((match) => match[1]))

  return [...new Set([...passed, ...elsewhere, ...listed.filter((name) => names.includes(name) && !here.has(name.split('.')[0]))])].sort()
}

/* Runs the program with a point armed: was it killed there? */
export function killedAt(world, argv, point) {
  const result = world.run(argv, { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } })

  return { ...result, killed: result.signal === 'SIGKILL' || result.code === 137 }
}

/* The points that a command passes. */
export function passedBy(world, argv) {
  const list = join(world.dir, 'passed')

  rmSync(list, { force: true })
  world.run(argv, { program: withFailpoints, env: { UNSHIP_FAILPOINT: `list:${list}` } })
  return [...new Set(readFileSync(list, 'utf8').trim().split('\n'))].sort()
}

/* Back to version 2 for the next case, with a release still to be made, one to be removed, and data that no snapshot has yet. */
export async function reset(world) {
  const { runs } = world.json(['runs', '--limit', '1'])
  const now = await look(world)

  if (now.version === '2.0.0') assert.deepEqual(now, atStart)
  else if (runs[0].status === 'completed') world.json(['undo', '--yes'])
  const again = await look(world)
  assert.deepEqual(again, atStart, 'the world could not be brought back for the next case')
  forgetReleases(world)
  world.sql('UPDATE bulk SET filling = hex(randomblob(10000))')
}

export async function inWorld(test) {
  const world = await prepare()

  try {
    forgetReleases(world)
    await test(world)
  } finally {
    world.remove()
  }
}

/* A run that goes all the way and then fails at its last step, so that all is taken back. */
export function failing(world) {
  const { target } = rollback(world)
  const plan = world.writePlan('bad.json', {
    id: 'bad', name: 'A plan whose last step fails', onFailure: 'restore',
    steps: [
      { id: 'flag', type: 'feature-flag', parameters: { flagKey: 'new-search', targetState: false } },
      { id: 'stop', type: 'service', parameters: { service: 'api', action: 'stop' }, timeout: 20 },
      { id: 'note', type: 'command', parameters: { argv: ['touch', 'noted'], check: ['test', '-e', 'noted'], undo: ['rm', 'noted'] }, timeout: 5 },
      { id: 'release', type: 'deployment', parameters: { service: 'code', version: 'v3.0.0', environment: 'production' }, timeout: 20 },
      { id: 'first-release', type: 'deployment', parameters: { service: 'other', version: 'v1.0.0', environment: 'production' }, timeout: 20 },
      { id: 'data', type: 'data', parameters: { database: 'db', tables: { notes: target } }, timeout: 20 },
      { id: 'migrate', type: 'data', parameters: { database: 'steps', migrateTo: '1' }, timeout: 20 },
      { id: 'configure', type: 'configuration', parameters: { service: 'config', configItems: { GREETING: 'three' } }, timeout: 20 },
      { id: 'fail', type: 'command', parameters: { argv: ['false'], check: ['false'], undo: ['true'] }, timeout: 5 },
    ],
  })

  return ['rollback', 'production', '--plan', plan, '--reason', 'crash test', '--yes']
}
