/* Safety checks on the command line: each is told, blocks, and is overridden by name only, by who may, and in a protected environment with a second person. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { deployed, obstacles, obstacleWorld } from '../support/obstacles.mjs'
import { World, withFailpoints } from '../world.mjs'

const state = (world) => ({
  config: readFileSync(join(world.app, 'state/app.env'), 'utf8'),
  thing: readFileSync(join(world.app, 'state/thing.json'), 'utf8'),
  rows: world.sql('SELECT count(*) FROM notes'),
  flag: world.json(['flags', 'production', 'list']).flags[0].state,
})
const rollback = (target, ...more) => ['rollback', 'production', '--to', target.id, '--reason', 'test', '--yes', ...more]
const blocking = (answer) => answer.findings.filter((finding) => !finding.passed && finding.severity === 'error')
const weight = ({ passed, severity }) => (passed ? 0 : { info: 1, warning: 2, error: 3 }[severity])

for (const { name, first, arrange } of obstacles) {
  describe(`${name}`, () => {
    let world, guarded, target
    before(() => {
      world = obstacleWorld()
      const both = deployed(world, first)
      target = both.target
      arrange(world, both)
    })
    after(() => {
      world.remove()
      guarded?.remove()
    })

    it('is told, the heaviest first, and does not hide the others', () => {
      const answer = world.json(['plan', 'production', '--to', target.id])
      const weights = answer.findings.map(weight)

      assert.ok(blocking(answer).some((finding) => finding.name === name), JSON.stringify(blocking(answer)))
      assert.equal(answer.blocking, blocking(answer).length)
      assert.deepEqual(weights, [...weights].sort((a, b) => b - a))
      /* Drivers of others may have none to give; unship's own always say what they go by. */
      for (const { name: told, evidence, passed } of answer.findings)
        if (/^(target_(exists|status|health|quarantine|complete)|system_state|component_observable|dependency_reachable|component_health|disk_space|capacity|check_possible|check_timeout|undo_possible|quarantine_after)$/.test(told) && !(name === 'disk_space' && !passed))
          assert.ok(evidence && Object.keys(evidence).length > 0, `${told} has evidence`)
      for (const other of ['environment_free', 'disk_space', 'dependency_reachable', 'target_exists'])
        assert.ok(answer.findings.some((finding) => finding.name === other), `${other} is said as well`)
    })

    it('refuses, and nothing is changed', () => {
      const was = state(world)
      const answer = world.json(rollback(target), { codes: [3] })

      assert.ok(blocking(answer).some((finding) => finding.name === name))
      assert.deepEqual(state(world), was)
      assert.equal(world.json(['runs']).runs.length, 0)
      const [refused] = world.json(['audit', 'search', '--kind', 'refused']).entries
      assert.ok(refused.data.findings.some((finding) => finding.name === name && !finding.passed))
    })

    it('in a protected environment another person sees what is overridden before it is', () => {
      guarded = obstacleWorld({ guarded: true })
      const both = deployed(guarded, first)
      arrange(guarded, both)
      const was = state(guarded)
      const answer = guarded.json(rollback(both.target, '--force'), { codes: [3], env: { UNSHIP_ACTOR: 'ana' } })

      assert.equal(answer.waitsFor, 'approval')
      assert.deepEqual(state(guarded), was)
      const { shown } = guarded.json(['approvals', 'show', answer.approval.id])
      assert.ok(shown.overrides.includes(name), JSON.stringify(shown.overrides))
      assert.equal(guarded.json(['approvals', 'approve', answer.approval.id], { codes: [3], env: { UNSHIP_ACTOR: 'ana' } }).error.code, 'forbidden')
      assert.deepEqual(state(guarded), was)
    })

    it('is overridden by name, in the answer, the run and the journal', () => {
      const answer = world.json(rollback(target, '--force'), { codes: [0, 1, 3, 5] })

      assert.ok(answer.overrides.includes(name), JSON.stringify(answer.overrides))
      const [requested] = world.json(['audit', 'search', '--kind', 'run.requested']).entries
      assert.deepEqual(requested.data.overrides, answer.overrides)
      assert.equal(requested.data.options.force, true)
      assert.deepEqual(world.json(['status', answer.rollbackId], { codes: [0, 1, 3, 5] }).overrides, answer.overrides)
    })
  })
}

describe('checks that only warn', () => {
  let world, both
  before(() => {
    world = obstacleWorld()
    both = deployed(world)
  })
  after(() => world.remove())
  const warning = (name) => world.json(['plan', 'production', '--to', both.target.id]).findings.find((finding) => finding.name === name && !finding.passed)

  it('a component that stays is ill already', () => {
    rmSync(join(world.app, 'state/healthy'))
    assert.equal(warning('component_health').severity, 'warning')
    assert.equal(warning('component_health').component, 'still')
    assert.match(warning('component_health').message, /probe 'still' fails/)
  })

  it('drift', () => {
    world.script('thing', { version: '7' })
    assert.equal(warning('system_state').severity, 'warning')
    assert.match(warning('system_state').message, /drift: '2' was recorded, '7' is there now/)
  })

  it('nothing of it keeps the rollback from going', () => {
    const answer = world.json(rollback(both.target))

    assert.equal(answer.status, 'completed')
    assert.equal(answer.overrides, undefined)
  })
})

describe('a run that has not ended', () => {
  it('is told by the plan, and cannot be overridden', () => {
    const world = obstacleWorld()

    try {
      const { target } = deployed(world)
      const died = world.run(rollback(target), { program: withFailpoints, env: { UNSHIP_FAILPOINT: 'run.requested_committed' } })
      assert.notEqual(died.code, 0)
      const plan = world.json(['plan', 'production', '--to', target.id])
      const busy = blocking(plan).find((finding) => finding.name === 'environment_free')
      assert.match(busy.message, /run run-\w+ of \S+ is pending/)
      assert.deepEqual([busy.evidence.run, busy.evidence.status], [world.json(['runs']).runs[0].id, 'pending'])
      assert.equal(world.json(rollback(target, '--force'), { codes: [4] }).error.code, 'conflict')
    } finally {
      world.remove()
    }
  })
})

describe('a check that hangs', () => {
  it('costs its own time, and the others are told', () => {
    const world = obstacleWorld()

    try {
      const { target } = deployed(world)
      world.script('thing', { version: '2', check: 'hang' })
      const answer = world.json(['plan', 'production', '--to', target.id])
      const late = answer.findings.find((finding) => finding.name === 'check_timeout')
      assert.deepEqual([late.component, late.severity, late.evidence], ['thing', 'error', { check: 'check_possible', limitMs: 1000 }])
    } finally {
      world.remove()
    }
  })
})

describe('all mistakes of an input', () => {
  let world
  before(() => { world = World.bare('project: p\nenvironments:\n  production: {components: {flags: {driver: flags}}}\n') })
  after(() => world.remove())

  it('are told at once, each with its place', () => {
    const plan = world.writePlan('p.json', { id: 'p', name: 'p', steps: [{ id: 'a', type: 'nonsense' }, { id: 'b', type: 'feature-flag', timeout: 'long', parameters: { flagKey: 'x' } }] })
    const answer = world.json(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'], { codes: [2] })

    assert.ok(answer.errors.length >= 3, JSON.stringify(answer.errors))
    assert.ok(answer.errors.some((error) => error.pointer === '#/steps/0/type'), JSON.stringify(answer.errors))
    assert.ok(answer.errors.every((error) => error.detail && error.pointer.startsWith('#')))
    const { err } = world.run(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'])
    for (const { pointer } of answer.errors) assert.ok(err.includes(pointer), err)
  })
})

describe('the difference', () => {
  let world, both
  before(() => {
    world = obstacleWorld()
    both = deployed(world, { between: (w) => w.sql('INSERT INTO notes VALUES (\'b\'); ALTER TABLE notes ADD COLUMN extra TEXT') })
  })
  after(() => world.remove())
  const difference = (...more) => world.json(['plan', 'production', '--to', both.target.id, ...more]).difference

  it('tells configuration by names of keys, and never a value', () => {
    const whole = world.json(['plan', 'production', '--to', both.target.id])
    const [config] = whole.difference.config

    assert.equal(config.valuesCompared, true)
    assert.deepEqual(config.keys.map(({ key, change }) => [key, change]).sort(), [['NAME', 'value'], ['PASSWORD', 'value']])
    assert.doesNotMatch(JSON.stringify(whole), /hunter/)
    assert.doesNotMatch(world.run(['plan', 'production']).out, /hunter/)
  })

  it('tells flags, schema and rows', () => {
    const told = difference()

    assert.deepEqual(told.flags.map(({ flag, from, to, returns }) => [flag, from, to, returns]), [['f', false, true, true]])
    assert.deepEqual(told.schema[0].changes.map(({ name, change }) => [name, change]), [['notes.extra', 'removed']])
    assert.deepEqual(told.data[0].tables, [{ table: 'notes', rows: 2, recordedRows: 1 }])
    assert.ok(told.notReverted.some((sentence) => /db: the schema stays as it is now, other than with the target: notes\.extra/.test(sentence)), told.notReverted.join('\n'))
    assert.ok(!told.willBeLost.some((sentence) => /^db/.test(sentence)), told.willBeLost.join('\n'))
  })

  it('tells what is lost when the data goes back', () => {
    const told = difference('--no-preserve-data')

    assert.ok(told.willBeLost.some((sentence) => /db: table notes has 2 rows now and had 1/.test(sentence)), told.willBeLost.join('\n'))
    assert.ok(told.willBeLost.some((sentence) => /db: whatever was written since/.test(sentence)))
  })

  it('is bound by the plan hash, but for what goes on changing', () => {
    const hash = () => world.json(['plan', 'production', '--to', both.target.id]).planHash
    const first = hash()

    world.sql('INSERT INTO notes VALUES (\'c\', NULL)')
    assert.equal(hash(), first)
    world.sql('ALTER TABLE notes ADD COLUMN other TEXT')
    assert.notEqual(hash(), first)
  })

  it('tells commits and files of the code, both ways', async () => {
    const repository = await World.make({ versions: { '1.0.0': {}, '1.1.0': {}, '2.0.0': {} }, config: false })

    try {
      const first = repository.deploy('1.0.0')
      repository.deploy('2.0.0')
      const [code] = repository.json(['plan', 'production', '--to', first.id]).difference.code
      assert.deepEqual(code.removed.commits.map(({ subject, author }) => [subject, author]), [['Release 2.0.0', 'test'], ['Release 1.1.0', 'test']])
      assert.deepEqual([code.removed.count, code.removed.more, code.added.count], [2, 0, 0])
      assert.deepEqual(code.files, { count: 1, names: ['service.py'], more: 0 })
      assert.equal(code.toCommit, repository.git('rev-parse', 'v1.0.0^{commit}'))
      const { out } = repository.run(['plan', 'production', '--to', first.id])
      assert.match(out, /Commits of code, with 1 file between them\n {2}- [0-9a-f]{8} Release 2\.0\.0 {2}test\n {2}- [0-9a-f]{8} Release 1\.1\.0/)
    } finally {
      repository.remove()
    }
  })

  it('is shown before the question, in three lists', () => {
    const { out } = world.run(['plan', 'production', '--to', both.target.id])

    assert.match(out, /\nWill change\n[^]*\nStays as it is\n/)
  })
})
