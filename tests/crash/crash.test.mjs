/* Killed with -9 at every named point of the program, the drivers' points included, while it rolls back, while it restores, and while it recovers. Afterwards the next
 * unship must bring the system to the target or back to where it began; nothing is done twice, nothing that was recorded is lost, the chain verifies. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World, source, withFailpoints } from '../world.mjs'

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

describe('the crash points', () => {
  it('are all in docs/testing.md, and no others', () => {
    const documented = [...readFileSync(join(source, '../docs/testing.md'), 'utf8').split('## Crash points')[1].matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map((match) => match[1])

    assert.deepEqual(documented.sort(), names)
  })
})

async function prepare() {
  const world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {}, '3.0.0': { healthy: false } } })

  world.run(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
  world.sql("INSERT INTO notes (text) VALUES ('old')")
  world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
  world.sql("INSERT INTO notes (text) VALUES ('new')")
  world.run(['flags', 'production', 'set', 'new-search', 'on'])
  world.deploy('2.0.0', { greeting: 'two' })
  return world
}

const atStart = { version: '2.0.0', greeting: 'two', notes: 'old,new', flag: 'new-search=true' }
const atTarget = { version: '1.0.0', greeting: 'one', notes: 'old', flag: 'new-search=false' }

async function look(world) {
  const { version, config, notes, flag } = await world.reality()
  return { version, greeting: /^GREETING=(.*)$/m.exec(config)[1], notes, flag }
}

function entries(world) {
  return world.json(['audit', 'search', '--limit', '100000']).entries.map((entry) => entry.hash).reverse()
}

/* Takes the world from wherever a kill left it to the end of the run: like the person on call, who resumes what is unfinished. */
function recover(world) {
  const { runs } = world.json(['runs', '--limit', '1'])

  if (!runs.length || ['completed', 'restored', 'failed', 'refused'].includes(runs[0].status)) return runs[0]
  const result = world.run(['resume', runs[0].id, '--json'])
  assert.ok([0, 1].includes(result.code), `resume ended with ${result.code}: ${result.out}${result.err}`)
  return world.json(['runs', '--limit', '1']).runs[0]
}

/* Back to version 2 for the next case. */
async function reset(world) {
  const { runs } = world.json(['runs', '--limit', '1'])
  const now = await look(world)

  if (now.version === '2.0.0') assert.deepEqual(now, atStart)
  else if (runs[0].status === 'completed') world.json(['undo', '--yes'])
  const again = await look(world)
  assert.deepEqual(again, atStart, 'the world could not be brought back for the next case')
}

const rollback = ['rollback', 'production', '--to', 'TARGET', '--no-preserve-data', '--reason', 'crash test', '--force', '--yes']

describe('killed at every point of a rollback', { concurrency: false }, () => {
  let world, target

  before(async () => {
    world = await prepare()
    target = world.json(['deployments', 'production']).deployments.find(({ version }) => version === '1.0.0').id
  })
  after(() => world.remove())

  const command = () => rollback.map((word) => (word === 'TARGET' ? target : word))

  for (const name of names) {
    it(name, async () => {
      for (let pass = 1; pass <= PASSES; pass++) {
        const acknowledged = entries(world)
        const result = world.run(command(), { program: withFailpoints, env: { UNSHIP_FAILPOINT: `${name}:${pass}` } })
        const killed = result.signal === 'SIGKILL' || result.code === 137

        if (!killed) assert.ok([0, 1].includes(result.code), `${name}:${pass} ended with ${result.code}: ${result.err}`)
        const run = recover(world)
        const now = await look(world)
        const expected = run?.status === 'completed' && run.reason === 'crash test' && run.to === target ? atTarget : atStart
        assert.deepEqual(now, expected, `${name}:${pass}, the run is ${run?.status}`)
        assert.equal(world.json(['audit', 'verify']).intact, true)
        assert.deepEqual(entries(world).slice(0, acknowledged.length), acknowledged, 'an acknowledged entry was lost')
        await reset(world)
        if (!killed) break // the point is not passed that often
      }
    })
  }
})

describe('killed at every point of a restoring rollback', { concurrency: false }, () => {
  let world, plan

  before(async () => {
    world = await prepare()
    plan = world.writePlan('bad.json', {
      id: 'bad', name: 'A plan whose last step fails', onFailure: 'restore',
      steps: [
        { id: 'flag', type: 'feature-flag', parameters: { flagKey: 'new-search', targetState: false } },
        { id: 'stop', type: 'service', parameters: { service: 'api', action: 'stop' }, timeout: 20 },
        { id: 'release', type: 'deployment', parameters: { service: 'code', version: 'v3.0.0', environment: 'production' }, timeout: 20 },
        { id: 'configure', type: 'configuration', parameters: { service: 'config', configItems: { GREETING: 'three' } }, timeout: 20 },
        { id: 'fail', type: 'command', parameters: { argv: ['false'], check: ['false'], undo: ['true'] }, timeout: 5 },
      ],
    })
  })
  after(() => world.remove())

  for (const name of names) {
    it(name, async () => {
      for (let pass = 1; pass <= PASSES; pass++) {
        const result = world.run(['rollback', 'production', '--plan', plan, '--reason', 'crash test', '--yes'],
          { program: withFailpoints, env: { UNSHIP_FAILPOINT: `${name}:${pass}` } })
        const killed = result.signal === 'SIGKILL' || result.code === 137

        if (!killed) assert.equal(result.code, 1, `${name}:${pass}: ${result.out}${result.err}`)
        recover(world)
        assert.deepEqual(await look(world), atStart, `${name}:${pass}`)
        assert.equal(world.json(['audit', 'verify']).intact, true)
        if (!killed) break
      }
    })
  }
})

describe('killed again while recovering', { concurrency: false }, () => {
  let world, target

  before(async () => {
    world = await prepare()
    target = world.json(['deployments', 'production']).deployments.find(({ version }) => version === '1.0.0').id
  })
  after(() => world.remove())

  for (const name of names) {
    it(name, async () => {
      world.run(rollback.map((word) => (word === 'TARGET' ? target : word)), { program: withFailpoints, env: { UNSHIP_FAILPOINT: 'step.applied:3' } })
      for (let kills = 0; kills < 3; kills++) {
        const { runs } = world.json(['runs', '--limit', '1'])

        if (['completed', 'restored'].includes(runs[0].status)) break
        world.run(['resume', runs[0].id], { program: withFailpoints, env: { UNSHIP_FAILPOINT: name } })
      }
      const run = recover(world)
      assert.equal(run.status, 'completed')
      assert.deepEqual(await look(world), atTarget)
      assert.equal(world.json(['audit', 'verify']).intact, true)
      await reset(world)
    })
  }
})
