/* Rehearsals: a rollback is carried out for real in a copy, measured, taken back and removed, and nothing real is touched by it, whatever happens. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, lstatSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { World, withFailpoints } from '../world.mjs'

/* Everything of the project that a rehearsal must not touch: each file's content, mode and link, but for the books of unship itself. */
function fingerprint(dir, top = dir) {
  return readdirSync(dir).sort().flatMap((name) => {
    const path = join(dir, name), stat = lstatSync(path), shown = path.slice(top.length)

    if (shown === '/.deployments') return fingerprint(join(path, 'recorded'), top)
    if (stat.isSymbolicLink()) return [`${shown} -> ${readlinkSync(path)}`]
    if (stat.isDirectory()) return [`${shown} ${stat.mode}`, ...fingerprint(path, top)]
    return [`${shown} ${stat.mode} ${stat.ino} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`]
  })
}

const copies = (world) => (existsSync(join(world.app, '.deployments/drill')) ? readdirSync(join(world.app, '.deployments/drill')).filter((name) => name.startsWith('drl-')) : [])
const startsInCopy = (world) => readFileSync(join(world.app, '.deployments/drill', copies(world)[0], 'state/starts.log'), 'utf8').trim().split('\n')
const drills = (world) => world.json(['drill', 'list', 'production']).drills
const entries = (world) => world.json(['audit', 'search', '--limit', '100000']).entries
const named = (list, name) => list.find(({ component, probe }) => (component ?? probe) === name)

async function look(world) {
  return { files: fingerprint(world.app), reality: await world.reality(), services: world.services().sort(), starts: world.starts(), deployments: world.json(['deployments', 'production']), runs: world.json(['runs']) }
}

async function make(options = {}) {
  const world = await World.make({ sandbox: true, ...options })

  world.json(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
  world.first = world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
  world.json(['flags', 'production', 'set', 'new-search', 'on'])
  world.sql("INSERT INTO notes (text) VALUES ('first')")
  world.second = world.deploy('2.0.0', { greeting: 'two' })
  return world
}

describe('a rehearsal', () => {
  let world, before_, drill

  before(async () => {
    world = await make({ components: '      note: {driver: command, argv: [touch, noted], check: [test, -e, noted], undo: [rm, noted]}' })
    world.sql("INSERT INTO notes (text) VALUES ('second')")
    before_ = await look(world)
    drill = world.json(['drill', 'production'])
  })
  after(() => world.remove())

  it('goes back and comes forth again in a copy, and measures both', () => {
    assert.equal(drill.success, true)
    assert.equal(drill.from.deploymentId, world.second.id)
    assert.equal(drill.to.deploymentId, world.first.id)
    assert.equal(drill.rollback.status, 'completed')
    assert.equal(drill.undo.status, 'completed')
    assert.equal(drill.probed, true)
    assert.ok(drill.rollback.steps.some(({ id, status, durationMs }) => id === 'release-code' && status === 'completed' && durationMs >= 0))
    assert.ok(drill.rollback.steps.some(({ id }) => id === 'start-api'))
    assert.ok(drill.rollback.durationMs <= drill.durationMs)
    assert.equal(drill.rollback.objectiveMs, 60000)
    assert.equal(drill.rollback.met, true)
  })

  it('tells how old the newest copy of the data is', () => {
    assert.ok(drill.data.ageMs >= 0)
    assert.ok(Date.parse(drill.data.newestCopyAt) <= Date.parse(drill.startedAt))
    assert.equal(drill.data.backTo, undefined)
  })

  it('says what took part and what did not', () => {
    assert.deepEqual([...drill.rehearsed].sort(), ['api', 'code', 'config', 'db', 'flags'])
    assert.match(named(drill.leftOut, 'note').why, /command/)
  })

  it('changes nothing real, and leaves nothing behind', async () => {
    assert.deepEqual(await look(world), before_)
    assert.deepEqual(copies(world), [])
    assert.ok(!existsSync(join(world.app, 'noted')))
  })

  it('is one entry of the journal, with its age', () => {
    const [newest] = drills(world)

    assert.equal(newest.id, drill.id)
    assert.ok(newest.ageMs >= 0)
    assert.equal(entries(world).filter(({ kind }) => kind === 'drill.completed').length, 1)
    assert.match(world.run(['drill', 'list', 'production']).out, /1\.0\.0/)
    assert.deepEqual(world.json(['drill', 'list']).drills.map(({ id }) => id), [drill.id])
  })

  it('counts the rows that going back with the data would cost', async () => {
    const { success, data, message } = world.json(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'])

    assert.equal(success, true, message)
    assert.equal(Date.parse(data.backTo), Date.parse(world.first.recordedAt))
    assert.deepEqual(await look(world), before_)
  })

  it('does not begin when there is nothing to take back, or nothing to return to', () => {
    assert.equal(world.run(['drill', 'production', '--to', '9.9.9']).code, 2)
    assert.equal(world.run(['drill', 'nowhere']).code, 2)
    assert.match(world.run(['drill', 'production', '--to', world.second.id]).err, /nothing to rehearse/)
  })

  it('says for people what it found', () => {
    const { out, code } = world.run(['drill', 'production'])

    assert.equal(code, 0)
    assert.match(out, /2\.0\.0 -> 1\.0\.0/)
    assert.match(out, /note/)
  })
})

describe('a rehearsal that fails', () => {
  it('because the service of the target does not start, tells what it said, and leaves reality untouched', async () => {
    const world = await World.make({ sandbox: true })

    try {
      world.git('checkout', '-q', '-b', 'broken', 'v1.0.0')
      writeFileSync(join(world.app, 'service.py'), `import os, sys\nif "drill" in os.getcwd(): sys.exit("no such setting: LIMIT")\n${world.git('show', 'v1.0.0:service.py')}\n`)
      world.git('commit', '-q', '-am', 'needs a setting')
      world.git('tag', 'v1.5.0')
      world.git('checkout', '-q', 'main')
      world.deploy('1.5.0', { status: 'passing' })
      world.deploy('2.0.0')
      const seen = await look(world)
      const { code, out, err } = world.run(['drill', 'production'])

      assert.equal(code, 1, out)
      assert.match(err, /no such setting: LIMIT/)
      assert.deepEqual(await look(world), seen)
      assert.deepEqual(copies(world), [])
      const [{ success, message, rollback, undo }] = drills(world)
      assert.equal(success, false)
      assert.match(message, /no such setting: LIMIT/)
      assert.equal(rollback.status, 'restored')
      assert.equal(undo, undefined)
    } finally {
      world.remove()
    }
  })

  it('because the rollback would be refused, does not even begin', async () => {
    const world = await make()

    try {
      world.json(['deployments', 'quarantine', world.first.id, '--reason', 'bad'])
      const { code, err } = world.run(['drill', 'production', '--to', world.first.id])

      assert.equal(code, 1)
      assert.match(err, /would be refused/)
      assert.equal(drills(world)[0].success, false)
      assert.deepEqual(copies(world), [])
    } finally {
      world.remove()
    }
  })
})

describe('a rehearsal that is stopped', () => {
  it('by a signal, removes its copy before it ends', async () => {
    const world = await make({ extra: '    objectives: {health: 5m}' })

    try {
      const path = join(world.app, 'unship.yaml')
      writeFileSync(path, readFileSync(path, 'utf8').replace(`sandbox: {url: "http://127.0.0.1:${world.sandboxPort}/"}`, 'sandbox: {url: "http://127.0.0.1:1/"}'))
      const seen = await look(world), child = world.start(['drill', 'production'])
      const ended = new Promise((done) => { child.once('exit', (code) => done(code)) })
      await eventually(() => startsInCopy(world).includes('1.0.0'), { what: 'the service of the target in the copy' })
      child.kill('SIGTERM')
      assert.equal(await ended, 130)
      assert.deepEqual(await look(world), seen)
      assert.deepEqual(copies(world), [])
      assert.equal(drills(world)[0].success, false)
    } finally {
      world.remove()
    }
  })
})

describe('a rehearsal that is killed', () => {
  it('leaves nothing behind after the next one, nor after `drill clean`', async () => {
    const world = await make()

    try {
      const seen = await look(world)
      const kill = (point) => world.run(['drill', 'production'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } })

      kill('drill.rolled_back')
      assert.equal(copies(world).length, 1)
      assert.ok(world.services().length > seen.services.length, 'the service of the copy was left running')
      const [killed] = copies(world)
      assert.deepEqual(world.json(['drill', 'clean']).cleaned, [killed])
      assert.deepEqual(await look(world), seen)
      assert.deepEqual(copies(world), [])
      assert.equal(drills(world)[0].id, killed)
      assert.equal(drills(world)[0].success, false)
      assert.match(drills(world)[0].message, /interrupted/)

      kill('drill.copied')
      const next = world.json(['drill', 'production'])
      assert.equal(next.success, true)
      assert.deepEqual(copies(world), [])
      assert.deepEqual(await look(world), seen)
      assert.deepEqual(drills(world).map(({ success }) => success), [true, false, false])

      /* Neither does it begin on what a run left half done. */
      world.run(['rollback', 'production', '--to', world.first.id, '--reason', 'test', '--yes'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: 'step.applied' } })
      assert.equal(world.run(['drill', 'production']).code, 4)
    } finally {
      world.remove()
    }
  })
})
