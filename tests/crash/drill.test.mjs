/* A rehearsal killed with -9 at each of its own points, and again while what it left is removed: nothing real changes, nothing of the copy stays, and what was killed is told as failed. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { World, source, withFailpoints } from '../world.mjs'

const points = ['ops/drill.c', 'ops/sandbox.c', 'drivers/sandbox.c'].flatMap((file) => [...readFileSync(join(source, file), 'utf8').matchAll(/FAILPOINT\("([^"]+)"\)/g)].map((match) => match[1]))

it('is taken away by the next, wherever it was killed', async (t) => {
  const world = await World.make({ sandbox: true })
  const killed = (argv, point) => world.run(argv, { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } }).signal === 'SIGKILL'
  const copies = () => { const dir = join(world.app, '.deployments/drill'); return existsSync(dir) ? readdirSync(dir).filter((name) => name.startsWith('drl-')) : [] }
  const drills = () => world.json(['drill', 'list']).drills

  try {
    world.json(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
    world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
    world.json(['flags', 'production', 'set', 'new-search', 'on'])
    world.sql("INSERT INTO notes (text) VALUES ('new')")
    world.deploy('2.0.0', { greeting: 'two' })
    const reality = await world.reality(), services = world.services(), runs = world.json(['runs'])

    assert.ok(points.length >= 8)
    for (const point of points) {
      await t.test(point, async () => {
        const before = drills().length

        assert.ok(killed(['drill', 'production'], point), 'a rehearsal passes it')
        if (/^drill\.(ended|emptied)$/.test(point)) assert.ok(killed(['drill', 'clean'], point), 'so does removing what is left')
        world.json(['drill', 'clean'])
        assert.deepEqual(copies(), [])
        assert.deepEqual(world.services(), services)
        assert.deepEqual(await world.reality(), reality)
        assert.deepEqual(world.json(['runs']), runs)
        /* Written once: by itself when it came so far, else by who cleaned up. */
        assert.equal(drills().length, before + 1)
        assert.equal(drills()[0].success, point === 'drill.recorded')
      })
    }
    assert.equal(world.json(['drill', 'production']).success, true)
    assert.equal(world.json(['audit', 'verify']).intact, true)
  } finally {
    world.remove()
  }
})
