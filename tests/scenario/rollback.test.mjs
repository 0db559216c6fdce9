/* The main job, seen from outside: versions are recorded, the newest goes bad, it is taken back to the last stable one. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

describe('a rollback', () => {
  let world, first, second, third, done

  before(async () => {
    world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {}, '3.0.0': { healthy: false } } })
    world.run(['flags', 'production', 'set', 'new-search', 'off', '--group', 'beta'])
    world.deploy('1.0.0', { greeting: 'one' })
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    second = world.deploy('2.0.0', { greeting: 'two', status: 'passing' })
    world.run(['flags', 'production', 'set', 'new-search', 'on'])
    third = world.deploy('3.0.0', { greeting: 'three' })
    world.sql("INSERT INTO notes (text) VALUES ('written under version 3')")
  })
  after(() => world.remove())

  it('sees that the present version is bad, and keeps that as evidence', () => {
    const result = world.run(['health', 'production', '--json'])

    assert.equal(result.code, 1)
    assert.equal(JSON.parse(result.out).health, 'failing')
    assert.equal(world.json(['deployments', 'show', third.id]).health, 'failing')
  })

  it('shows ranked candidates and the difference without changing anything', async () => {
    const before = await world.reality()
    const answer = world.json(['rollback', 'production', '--dry-run'])

    assert.equal(answer.target.deploymentId, second.id)
    assert.equal(answer.candidates[0].id, second.id)
    assert.equal(answer.candidates[0].lastStable, true)
    assert.ok(answer.candidates.every((candidate) => candidate.why.length > 10))
    assert.deepEqual(answer.differences.filter((difference) => difference.changes).map((difference) => difference.component).sort(), ['api', 'code', 'config', 'flags'])
    assert.match(answer.planHash, /^[0-9a-f]{64}$/)
    assert.deepEqual(await world.reality(), before)
  })

  it('asks before it changes anything: without a terminal and without --yes it is refused', async () => {
    const before = await world.reality()
    const result = world.run(['rollback', 'production', '--reason', 'bad'])

    assert.equal(result.code, 2)
    assert.match(result.err, /--yes/)
    assert.deepEqual(await world.reality(), before)
  })

  it('is bound to what was looked at: a flag that changed since is a refusal', () => {
    const { planHash } = world.json(['rollback', 'production', '--dry-run'])

    world.json(['flags', 'production', 'set', 'new-search', 'half', '--new-variant'])
    const result = world.run(['rollback', 'production', '--plan-hash', planHash, '--reason', 'bad', '--yes'])
    assert.equal(result.code, 3)
    assert.match(result.err, /changed since/)
    world.json(['flags', 'production', 'set', 'new-search', 'on'])
    assert.equal(world.json(['rollback', 'production', '--dry-run']).planHash, planHash)
  })

  it('refuses a rollback without a reason', () => {
    assert.equal(world.run(['rollback', 'production', '--yes']).code, 2)
  })

  it('goes back to the last stable version: code, configuration and flag, and keeps the data', async () => {
    done = world.json(['rollback', 'production', '--reason', 'errors since 3.0.0', '--yes'])
    assert.equal(done.success, true)
    assert.deepEqual(done.rolledBackTo, { deploymentId: second.id, version: '2.0.0', timestamp: second.recordedAt })
    assert.equal(done.summary.dataPreserved, true)
    assert.equal(done.validation.healthChecks, true)
    assert.equal(done.validation.servicesRunning, 1)
    const now = await world.reality()
    assert.equal(now.version, '2.0.0')
    assert.match(now.config, /^GREETING=two$/m)
    assert.match(now.config, /# settings of the service/)
    assert.equal(now.flag, 'new-search=false')
    assert.equal(now.notes, 'written under version 3')
  })

  it('measures each phase against its objective', () => {
    const phase = done.phases.find(({ name }) => name === 'rollback')

    assert.equal(phase.objectiveMs, 60000)
    assert.equal(phase.met, true)
    assert.ok(done.phases.some(({ name }) => name === 'health'))
  })

  it('took a snapshot first, with a manifest that verifies', () => {
    const dir = join(world.app, '.deployments/rollback-snapshots', done.rollbackId)
    const metadata = JSON.parse(readFileSync(join(dir, 'metadata.json'), 'utf8'))

    assert.deepEqual(Object.keys(metadata).sort(), ['environment', 'fromDeploymentId', 'preserveData', 'rollbackId', 'timestamp', 'toDeploymentId'])
    assert.equal(metadata.fromDeploymentId, third.id)
    assert.equal(metadata.toDeploymentId, second.id)
    assert.ok(existsSync(join(dir, 'commit')))
    assert.equal(world.json(['snapshots', 'verify', done.rollbackId]).intact, true)
  })

  it('puts the bad deployment into quarantine, and takes the target as proven', () => {
    const bad = world.json(['deployments', 'show', third.id])

    assert.equal(bad.status, 'rolled-back')
    assert.match(bad.quarantine, /errors since 3\.0\.0/)
    const { deployments } = world.json(['deployments', 'production'])
    assert.equal(deployments.find(({ present }) => present).id, second.id)
    assert.equal(deployments.find(({ lastStable }) => lastStable).id, first.id)
  })

  it('is a no-op when it is there already', async () => {
    const starts = world.starts().length
    const answer = world.json(['rollback', 'production', '--to', second.id, '--reason', 'again', '--yes'])

    assert.deepEqual(answer.plan.steps, [])
    assert.equal(world.starts().length, starts)
  })

  it('is undone in one command, also the flag', async () => {
    const answer = world.json(['undo', done.rollbackId, '--yes', '--force']) // back to what is known to be bad: the probes are not asked

    assert.equal(answer.status, 'completed')
    const now = await world.reality()
    assert.equal(now.version, '3.0.0')
    assert.match(now.config, /^GREETING=three$/m)
    assert.equal(now.flag, 'new-search=true')
    assert.equal(world.json(['deployments', 'production']).deployments.find(({ present }) => present).id, third.id)
  })

  it('keeps the registry file of other tools in step', () => {
    const registry = JSON.parse(readFileSync(join(world.app, '.deployments/deployment-registry.json'), 'utf8'))

    assert.equal(registry.deployments.length >= 3, true)
    assert.ok(registry.rollbacks.some((rollback) => rollback.rollbackId === done.rollbackId && rollback.success === true))
  })

  it('can be audited: the chain holds', () => {
    const answer = world.json(['audit', 'verify'])

    assert.equal(answer.intact, true)
    assert.ok(answer.entries > 20)
  })

  it('says how it went in the history', () => {
    assert.ok(world.json(['history']).summary.completed >= 2)
  })
})

describe('a rollback that fails', () => {
  let world

  before(async () => {
    world = await World.make({ versions: { '1.0.0': { healthy: false }, '2.0.0': {} } })
    world.deploy('1.0.0', { greeting: 'one', status: 'passing' })
    world.deploy('2.0.0', { greeting: 'two', status: 'passing' })
  })
  after(() => world.remove())

  it('leaves everything as it was, says so, and ends with 1', async () => {
    const before = await world.reality()
    const project = readFileSync(join(world.app, 'unship.yaml'), 'utf8')
    const plan = world.json(['plan', 'production']).plan
    for (const step of plan.steps) if (step.type === 'health' || step.type === 'service') step.timeout = 2
    const file = world.writePlan('short.json', plan)
    const result = world.run(['rollback', 'production', '--plan', file, '--reason', 'a target that does not work', '--yes', '--json'])

    assert.equal(result.code, 1, result.out + result.err)
    const answer = JSON.parse(result.out)
    assert.equal(answer.status, 'restored')
    assert.equal(answer.success, false)
    assert.ok(answer.message)
    assert.deepEqual(await world.reality(), before)
    assert.equal(readFileSync(join(world.app, 'unship.yaml'), 'utf8'), project)
    assert.equal(world.json(['audit', 'verify']).intact, true)
  })
})

describe('what is not well is said', () => {
  let world, proven

  before(async () => {
    world = await World.make()
    world.deploy('1.0.0')
    proven = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
  })
  after(() => world.remove())

  it('a confirmation that names something else is refused, also with --yes', () => {
    const result = world.run(['undo', '--yes', '--confirm', 'prod'])

    assert.equal(result.code, 2)
    assert.match(result.err, /does not name 'production'/)
  })

  it('nothing to do is no success while the probes fail', () => {
    const stop = world.writePlan('stop.json', { id: 'stop', name: 'stop', steps: [{ id: 'stop', type: 'service', parameters: { service: 'api', action: 'stop' } }] })

    world.json(['rollback', 'production', '--plan', stop, '--reason', 'stop it', '--yes'])
    const down = world.json(['record', 'production', '--version', '1.0.1'])
    const result = world.run(['rollback', 'production', '--to', down.id, '--reason', 'x', '--yes', '--force'])
    assert.equal(result.code, 1, result.out + result.err)
    assert.match(result.err, /1 of 1 probe failed/)
  })

  it('a deployment that was recorded with a critical component stopped is no candidate', () => {
    const half = world.json(['record', 'production', '--version', '1.0.2', '--status', 'passing'])
    world.json(['record', 'production', '--version', '1.0.3'])
    const answer = world.json(['rollback', 'production', '--dry-run'])

    assert.equal(answer.target.deploymentId, proven.id)
    assert.match(answer.candidates.find(({ id }) => id === half.id).why, /critical/)
  })

  it('what needs the part that goes back is verified too, though it is not touched itself', () => {
    const { steps } = world.json(['plan', 'production', '--to', proven.id]).plan

    assert.equal(steps.at(-1).type, 'health')
    assert.ok(steps.at(-1).parameters.components.includes('api'))
  })
})

describe('a plan that depends on another', () => {
  const world = World.bare('project: p\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n')
  const plan = (id, dependencies) => world.writePlan(`${id}.json`, { id, name: id, dependencies, steps: [{ id: 'set', type: 'feature-flag', parameters: { flagKey: id, targetState: true } }] })
  const run = (file) => world.run(['rollback', 'production', '--plan', file, '--reason', 'test', '--yes'])

  after(() => world.remove())

  it('is refused until that one has completed', () => {
    const first = plan('first', []), second = plan('second', ['first'])

    const refused = run(second)
    assert.equal(refused.code, 3)
    assert.match(refused.err, /'first', on which this one depends, has not completed/)
    assert.equal(run(first).code, 0)
    assert.equal(run(second).code, 0)
  })
})
