/* Killed with -9 again, at every named point that a recovery passes; the next one must come to the same end. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { atStart, atTarget, hasEnded, look, recover, rollback } from './common.mjs'
import { failing, inWorld, killedAt, names, passedBy, reset, withContracts } from './points.mjs'

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
