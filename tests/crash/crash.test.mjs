/* Killed with -9 at every named point of the program, the drivers' points included, while it rolls back, while it restores, and while it recovers. Afterwards the next
 * unship must bring the system to the target or back to where it began; nothing is done twice, nothing that was recorded is lost, the chain verifies. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { source, withFailpoints } from '../world.mjs'
import { atStart, atTarget, entries, forgetReleases, hasEnded, look, prepare, recover, rollback } from './common.mjs'

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

const PASSES = 4 // how often a point is let pass before the kill: 0 to 3 times
const names = [...failpoints()].sort()
/* Points that other tests kill at: drill.test.mjs, snapshot-copy.test.mjs; those of the snapshot store that no run passes, test_snapshot_crash.c. */
const elsewhere = names.filter((name) => /^(drill|sandbox|copy)\./.test(name) || /^snapshot\.(exported|key_wrapped|removed|swept_key|swept_names|swept_object)$/.test(name))
const reached = new Set() // points at which some of the runs below were killed

/* Points of drivers whose servers this world does not have: the contract suite kills there, in worlds that list them. A driver of which any point is passed here must be killed at all of them here. */
function withContracts(passed) {
  const worlds = join(source, '../tests/contract/drivers'), here = new Set([...passed].map((name) => name.split('.')[0]))
  const listed = readdirSync(worlds).filter((file) => file.startsWith('world_')).flatMap((file) => [...readFileSync(join(worlds, file), 'utf8').matchAll(/"([a-z_]+\.[a-z_]+)"/g)].map((match) => match[1]))

  return [...new Set([...passed, ...elsewhere, ...listed.filter((name) => names.includes(name) && !here.has(name.split('.')[0]))])].sort()
}

describe('the crash points', () => {
  it('are all in docs/testing.md, and no others', () => {
    const documented = [...readFileSync(join(source, '../docs/testing.md'), 'utf8').split('## Crash points')[1].matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map((match) => match[1])

    assert.deepEqual(documented.sort(), names)
  })
})

/* Runs the program with a point armed: was it killed there? */
function killedAt(world, argv, point) {
  const result = world.run(argv, { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } })

  return { ...result, killed: result.signal === 'SIGKILL' || result.code === 137 }
}

/* The points that a command passes. */
function passedBy(world, argv) {
  const list = join(world.dir, 'passed')

  rmSync(list, { force: true })
  world.run(argv, { program: withFailpoints, env: { UNSHIP_FAILPOINT: `list:${list}` } })
  return [...new Set(readFileSync(list, 'utf8').trim().split('\n'))].sort()
}

/* Back to version 2 for the next case, with a release still to be made, one to be removed, and data that no snapshot has yet. */
async function reset(world) {
  const { runs } = world.json(['runs', '--limit', '1'])
  const now = await look(world)

  if (now.version === '2.0.0') assert.deepEqual(now, atStart)
  else if (runs[0].status === 'completed') world.json(['undo', '--yes'])
  const again = await look(world)
  assert.deepEqual(again, atStart, 'the world could not be brought back for the next case')
  forgetReleases(world)
  world.sql('UPDATE bulk SET filling = hex(randomblob(10000))')
}

async function inWorld(test) {
  const world = await prepare()

  try {
    forgetReleases(world)
    await test(world)
  } finally {
    world.remove()
  }
}

/* A run that goes all the way and then fails at its last step, so that all is taken back. */
function failing(world) {
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

/* Kills a command at every point that it passes, at its first and later passes, and lets `check` look each time. */
async function killEverywhere(t, world, command, check) {
  const points = passedBy(world, command)

  await reset(world)
  for (const name of points) {
    await t.test(name, async () => {
      for (let pass = 1; pass <= PASSES; pass++) {
        const acknowledged = entries(world), result = killedAt(world, command, `${name}:${pass}`)

        if (result.killed) reached.add(name)
        await check(result, `${name}:${pass}`)
        assert.equal(world.json(['audit', 'verify']).intact, true)
        assert.deepEqual(entries(world).slice(0, acknowledged.length), acknowledged, 'an acknowledged entry was lost')
        await reset(world)
        if (!result.killed) break // one process does not pass it that often
      }
    })
  }
}

describe('killed at every point', { concurrency: false }, () => {
  it('of a rollback', (t) => inWorld(async (world) => {
    const { target, command } = rollback(world)

    await killEverywhere(t, world, command, async ({ killed, code, err }, at) => {
      if (!killed) assert.equal(code, 0, `${at} ended with ${code}: ${err}`)
      const run = recover(world), expected = run?.status === 'completed' && run.reason === 'crash test' && run.to === target ? atTarget : atStart
      assert.deepEqual(await look(world), expected, `${at}, the run is ${run?.status}`)
    })
  }))

  it('of a rollback that fails and is taken back', (t) => inWorld(async (world) => {
    await killEverywhere(t, world, failing(world), async ({ killed, code, out, err }, at) => {
      if (!killed) assert.equal(code, 1, `${at}: ${out}${err}`)
      recover(world)
      assert.deepEqual(await look(world), atStart, at)
    })
  }))

  it('that there is', () => assert.deepEqual(withContracts(reached), names, 'some points were passed by none of the runs'))
})

/* Where a run is killed the first time, and where its recovery must end. */
const beginnings = [
  { at: 'run.started_committed', what: 'everything is still to be done', of: (world) => rollback(world).command, status: 'completed', state: atTarget },
  { at: 'step.applied:3', what: 'something is to be found out', of: (world) => rollback(world).command, status: 'completed', state: atTarget },
  { at: 'step.applied', what: 'it will fail and be taken back', of: failing, status: 'restored', state: atStart },
]
const beforeAnyRecovery = ['run.requested_committed'] // a recovery needs no new run

describe('killed again at every point of the recovery', { concurrency: false }, () => {
  const passed = new Set(beforeAnyRecovery)

  for (const { at, what, of, status, state } of beginnings) {
    it(`when ${what}`, (t) => inWorld(async (world) => {
      const command = of(world), unfinished = () => {
        assert.ok(killedAt(world, command, at).killed)
        return ['resume', world.json(['runs', '--limit', '1']).runs[0].id]
      }
      const points = passedBy(world, unfinished())

      await reset(world)
      for (const name of points) {
        passed.add(name)
        await t.test(name, async () => {
          const resume = unfinished()

          for (let kills = 0; kills < 3 && !hasEnded(world.json(['runs', '--limit', '1']).runs[0]); kills++) {
            const { killed } = killedAt(world, resume, name)
            assert.ok(killed || kills > 0, `a recovery that passed ${name} before did not now`)
          }
          assert.equal(recover(world).status, status)
          assert.deepEqual(await look(world), state)
          assert.equal(world.json(['audit', 'verify']).intact, true)
          await reset(world)
        })
      }
    }))
  }

  it('that there is', () => assert.deepEqual(withContracts(passed), names, 'some points were passed by none of the recoveries'))
})
