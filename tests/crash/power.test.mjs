/* The power fails. Each command is run once, with everything that it asks of the disk written down, and then cut before and after every flush, in several manners: what was not flushed is there, is not there, or
 * is there in part (tests/support/power.mjs says what a disk may do). Whatever is left, the next unship, on a machine that was started anew a minute later, must bring the system to the target or back to where
 * it began; the chain verifies, and nothing is lost that the store had confirmed.
 *
 * UNSHIP_POWER_CASES: how many different states of the disk are gone through per command, spread over the run; `all` for all that were found. UNSHIP_POWER_CASE=COMMAND/AT/MANNER: only this one. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { World, withFailpoints } from '../world.mjs'
import { Disk, cuts, deferred, environment, makeLog, readLog } from '../support/power.mjs'
import { atStart, atTarget, entries, forgetReleases, hasEnded, look, prepare, recover, rollback } from './common.mjs'

const MANNERS = Number(process.env.UNSHIP_POWER_MANNERS ?? 5)
const CASES = process.env.UNSHIP_POWER_CASES ?? '30'
const ONLY = process.env.UNSHIP_POWER_CASE

function spread(all, most) {
  return all.length <= most ? all : Array.from({ length: most }, (_, i) => all[Math.floor((i * (all.length - 1)) / (most - 1))])
}

let boots = 1

/* The machine is there again: another boot, a minute after the last. */
function restarted(world) {
  const boot = join(world.dir, 'boot-id')

  writeFileSync(boot, `00000000-0000-4000-8000-${String(++boots).padStart(12, '0')}\n`)
  return { env: environment({ boot, laterS: 60 * boots }) }
}

/* Runs a command and returns all states in which a loss of power may leave the world: {disk, all, recorded}. */
function cut(world, command, options = {}) {
  const before = existsSync(join(world.app, '.deployments')) ? entries(world).length : 0
  const log = join(world.dir, 'power.log'), disk = new Disk(realpathSync(world.app), ['.git'])

  makeLog(log)
  const env = { ...options.env, ...environment({ log, root: world.app }) }
  const result = world.run(command, { program: withFailpoints, env })
  assert.equal(result.code, 0, `${command.join(' ')}: ${result.out}${result.err}`)
  const recorded = entries(world), records = readLog(log)
  const all = cuts(disk, records, MANNERS)
  assert.ok(all.length > 10 && Math.max(...all.map(({ committed }) => committed)) === recorded.length, `the run was not written down as it was, or ends before its ${recorded.length} entries are durable`)
  /* Only outcomes may be on their way to the disk while the run goes on: what was done is there to be seen. */
  const kinds = world.json(['audit', 'search', '--limit', '100000']).entries.map((entry) => entry.kind).reverse()
  for (const number of deferred(records, before)) assert.match(kinds[number - 1], /^step\.(ended|captured)$/, `entry ${number} did not wait for the disk`)
  return { disk, all, recorded }
}

/* The journal after the loss: a beginning of what it was, with all that was confirmed. */
function checkJournal(world, { committed, recorded }) {
  const left = entries(world)

  assert.equal(world.json(['audit', 'verify']).intact, true)
  assert.ok(left.length >= committed, `entry ${committed} was confirmed, and ${left.length} are left`)
  assert.deepEqual(left, recorded.slice(0, left.length))
  const registry = join(world.app, 'deployment-registry.json')
  if (existsSync(registry)) assert.equal(typeof JSON.parse(readFileSync(registry, 'utf8')), 'object')
}

/* What stands on the disk, when nothing runs. */
async function lookAtDisk(world) {
  return { ...(await look(world)), version: /^VERSION = "(.*)"$/m.exec(readFileSync(join(world.app, 'deploy/current/service.py'), 'utf8'))[1] }
}

async function goThrough(t, name, world, { disk, all, recorded }, check) {
  const chosen = ONLY ? all.filter(({ at, manner }) => ONLY === `${name}/${at}/${manner}`) : spread(all, CASES === 'all' ? all.length : Number(CASES))

  for (const { held, at, manner, committed } of chosen) {
    world.endServices()
    disk.write(held)
    try {
      checkJournal(world, { committed, recorded })
      await check(committed)
      assert.equal(world.json(['audit', 'verify']).intact, true)
    } catch (error) {
      error.message = `UNSHIP_POWER_CASE=${name}/${at}/${manner}: ${error.message}`
      throw error
    }
  }
  t.diagnostic(`${chosen.length} of ${all.length} states of the disk`)
}

const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))

/* What the journal says was taken is there, and holds what stood there then: `captured`: {id of a run: what `look` said before it}. */
function checkSnapshots(world, captured = {}) {
  for (const { data: { snapshot } } of world.json(['audit', 'search', '--kind', 'snapshot.taken', '--limit', '1000']).entries) {
    const to = join(world.dir, 'exported')

    assert.equal(world.json(['snapshots', 'verify', snapshot]).intact, true)
    const { metadata } = world.json(['snapshots', 'show', snapshot])
    assert.equal(metadata.rollbackId, snapshot)
    if (!captured[snapshot]) continue
    assert.equal(metadata.environment, 'production')
    world.json(['snapshots', 'export', snapshot, to])
    const settings = files(to).filter((path) => /GREETING=/.test(readFileSync(path, 'latin1')))
    assert.ok(settings.length > 0, 'the snapshot holds no settings')
    for (const path of settings) assert.match(readFileSync(path, 'utf8'), new RegExp(`^GREETING=${captured[snapshot].greeting}$`, 'm'), path)
    rmSync(to, { recursive: true })
  }
}

/* After a loss of power in a run from one state to the other. `known`: it was there before. */
function checkRun(world, count, from, to, known = false) {
  return async () => {
    const { runs } = world.json(['runs', '--limit', '1000'])

    checkSnapshots(world, runs.length > count || known ? { [runs[0].id]: from } : {})
    if (runs.length === count) { // not even begun, as far as anybody knows
      assert.deepEqual(await lookAtDisk(world), from)
      return
    }
    const nothingRuns = hasEnded(runs[0])
    const run = recover(world, { codes: [0, 1, 3], ...restarted(world) }), goal = run.status === 'completed' ? to : from

    checkSnapshots(world, { [run.id]: from }) // also what was captured before the loss, and taken after it
    /* Refused: before the first change the service is found to have been ended by the loss itself. */
    assert.ok(['completed', 'restored', 'refused'].includes(run.status), `the run is ${run.status}`)
    assert.deepEqual(await (nothingRuns || run.status === 'refused' ? lookAtDisk : look)(world), goal, `the run was ${runs[0].status} and is ${run.status}`)
  }
}

const countRuns = (world) => world.json(['runs', '--limit', '1000']).runs.length

describe('the power fails', { concurrency: false }, () => {
  async function inWorld(options, test) {
    const world = await prepare({ probes: false, ...options }) // they would wait for a service that is down

    try {
      await test(world)
    } finally {
      world.remove()
    }
  }

  it('in the first command of a project', async (t) => {
    const world = await World.make({ versions: { '1.0.0': {} } })

    try {
      const run = cut(world, ['flags', 'production', 'set', 'new-search', 'on'])
      await goThrough(t, 'first', world, run, (committed) => {
        const { flags } = world.json(['flags', 'production', 'list'])

        assert.ok(flags.length === 1 || committed === 0)
      })
    } finally {
      world.remove()
    }
  })

  for (const sealed of [false, true]) {
    const name = (command) => `${command}${sealed ? '-sealed' : ''}`, where = sealed ? ', with sealed snapshots' : ''

    it(`in record${where}`, (t) => inWorld({ record: false, sealed }, async (world) => {
      const run = cut(world, ['record', 'production', '--version', '2.0.0', '--status', 'passing'])
      const was = () => world.json(['deployments', 'production']).deployments.find(({ version }) => version === '2.0.0')

      await goThrough(t, name('record'), world, run, async () => {
        assert.deepEqual(await lookAtDisk(world), atStart)
        if (!was()) {
          world.json(['record', 'production', '--version', '2.0.0', '--status', 'passing'], restarted(world))
          return
        }
        /* What was recorded can be returned to: its content is there. */
        writeFileSync(join(world.app, 'state/app.env'), 'GREETING=changed\n')
        world.sql("INSERT INTO notes (text) VALUES ('changed')")
        world.json(['rollback', 'production', '--to', was().id, '--no-preserve-data', '--reason', 'was it kept?', '--force', '--yes'], restarted(world))
        assert.deepEqual(await look(world), atStart)
      })
    }))

    it(`in a rollback${where}`, (t) => inWorld({ sealed }, async (world) => {
      forgetReleases(world)
      const count = countRuns(world), run = cut(world, rollback(world).command)

      await goThrough(t, name('rollback'), world, run, checkRun(world, count, atStart, atTarget))
    }))
  }

  it('in an undo, with sealed snapshots', (t) => inWorld({ sealed: true }, async (world) => {
    world.json(rollback(world).command)
    const count = countRuns(world), run = cut(world, ['undo', '--yes'])

    await goThrough(t, 'undo', world, run, checkRun(world, count, atTarget, atStart))
  }))

  it('in the recovery from a loss of power, with sealed snapshots', (t) => inWorld({ sealed: true }, async (world) => {
    forgetReleases(world)
    const count = countRuns(world), first = cut(world, rollback(world).command)
    const middle = first.all.filter(({ manner }) => manner === 0)[Math.floor(first.all.filter(({ manner }) => manner === 0).length * 0.6)]

    world.endServices()
    first.disk.write(middle.held)
    const [{ id, status }] = world.json(['runs', '--limit', '1']).runs
    assert.ok(!hasEnded({ status }))
    const run = cut(world, ['resume', id], restarted(world))
    await goThrough(t, 'recovery', world, run, checkRun(world, count, atStart, atTarget, true))
  }))

  it('while snapshots are taken, wrapped anew and removed, with sealed snapshots', (t) => inWorld({ sealed: true }, async (world) => {
    const project = join(world.app, 'unship.yaml'), key = join(world.app, 'seal.key')

    cpSync(key, join(world.app, 'former.key'))
    writeFileSync(key, randomBytes(32).toString('base64'))
    writeFileSync(project, readFileSync(project, 'utf8').replace('seal.key}', 'seal.key}, version: 2, previous: {1: {file: former.key}}'))
    for (const command of [['snapshots', 'create', 'production'], ['snapshots', 'rotate'], ['snapshots', 'prune', '--keep', '0', '--yes']]) {
      const run = cut(world, command)

      await goThrough(t, command[1], world, run, () => {
        const { snapshots } = world.json(['snapshots', 'list']) // pruned ones are not in it

        for (const { id } of snapshots) assert.equal(world.json(['snapshots', 'verify', id]).intact, true)
        world.json(command)
      })
      world.endServices()
      run.disk.write(run.all.at(-1).held)
      world.json(command)
    }
  }))
})
