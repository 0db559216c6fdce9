/* Killed with -9 at every named point of the program, the drivers' points included, while it rolls back and while it restores. Afterwards the next
 * unship must bring the system to the target or back to where it began; nothing is done twice, nothing that was recorded is lost, the chain verifies. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { source } from '../world.mjs'
import { atStart, atTarget, entries, look, recover, rollback } from './common.mjs'
import { failing, inWorld, killedAt, names, passedBy, reset, withContracts } from './points.mjs'

const PASSES = 4 // how often a point is let pass before the kill: 0 to 3 times
const reached = new Set() // points at which some of the runs below were killed

describe('the crash points', () => {
  it('are all in docs/testing.md, and no others', () => {
    const documented = [...readFileSync(join(source, '../docs/testing.md'), 'utf8').split('## Crash points')[1].matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map((match) => match[1])

    assert.deepEqual(documented.sort(), names)
  })
})

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
