/* Readiness: could it be rolled back right now, and what is said when it cannot be any more. On the command line, and by a server that looks by itself. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { deployed, obstacleWorld, put } from '../support/obstacles.mjs'
import { makeToken, startServer } from '../support/server.mjs'

const breakSchema = (world) => world.sql('ALTER TABLE notes RENAME COLUMN text TO body')
const mendSchema = (world) => world.sql('ALTER TABLE notes RENAME COLUMN body TO text')
const ready = (answer) => answer.targets.map((target) => [target.version, target.ready])

describe('unship readiness', () => {
  let world, both
  before(() => { world = obstacleWorld() })
  after(() => world.remove())

  it('says when there is nothing to return to', () => {
    const answer = world.json(['readiness', 'production'])

    assert.deepEqual([answer.ready, answer.targets, answer.best], [0, [], undefined])
    assert.match(world.run(['readiness', 'production']).out, /no other deployment/)
  })

  it('tells each target, and the one that a rollback would choose', () => {
    both = deployed(world)
    const answer = world.json(['readiness', 'production'])

    assert.deepEqual(ready(answer), [['1.0.0', true]])
    assert.equal(answer.best.deploymentId, both.target.id)
    assert.equal(answer.present.deploymentId, both.present.id)
    assert.equal(answer.ready, 1)
    assert.ok(answer.targets[0].findings.every((finding) => finding.name !== 'quarantine_after'), 'what only the moment of the rollback knows is not said')
  })

  it('does not guess how long it takes, measures it, and says from what', () => {
    assert.deepEqual(world.json(['readiness', 'production']).targets[0].estimate, { basis: 'none', missing: 'feature-flag' })
    assert.match(world.run(['readiness', 'production']).out, /not known: no history/)

    const run = world.json(['rollback', 'production', '--reason', 'x', '--yes'])
    world.json(['undo', run.rollbackId, '--reason', 'x', '--yes'])
    const { estimate } = world.json(['readiness', 'production']).targets.find((target) => target.version === '1.0.0')
    const took = new Date(world.json(['status', run.rollbackId]).run.endTime) - new Date(run.timestamp)
    assert.deepEqual(estimate, { basis: 'runs', runs: 1, medianMs: took, worstMs: took })
    assert.match(world.run(['readiness', 'production']).out, /takes .*at worst .*1 run/)
  })

  it('says the first reason why not, and all findings', () => {
    breakSchema(world)
    const answer = world.json(['readiness', 'production'])
    const target = answer.targets.find(({ version }) => version === '1.0.0')

    assert.equal(answer.ready, 0)
    assert.equal(answer.best, undefined)
    assert.match(target.reason, /^db: notes\.text: the column is gone/)
    assert.equal(target.blocking, target.findings.filter((finding) => !finding.passed && finding.severity === 'error').length)
    assert.match(world.run(['readiness', 'production']).out, /no deployment can be returned to right now/)
    mendSchema(world)
  })

  it('looks at as many as are asked for, and at the last stable one however old', () => {
    for (const version of ['3', '4', '5']) {
      put(world, version)
      world.json(['record', 'production', '--version', `${version}.0.0`])
    }
    assert.deepEqual(world.json(['readiness', 'production', '--targets', '2']).targets.map((target) => target.version), ['4.0.0', '3.0.0', '1.0.0'])
  })

  it('changes nothing', () => {
    const entries = () => world.json(['audit', 'verify']).entries
    const was = entries()

    world.json(['readiness', 'production'])
    assert.equal(entries(), was)
  })
})

describe('a deployment that makes the one before unreachable', () => {
  let world
  before(() => {
    world = obstacleWorld({ more: '    notify: [{channel: in-app, recipients: [team]}]\n' })
    deployed(world)
    breakSchema(world)
    put(world, '3')
  })
  after(() => world.remove())

  it('is recorded, and ends with a code of its own', () => {
    const answer = world.json(['record', 'production', '--version', '3.0.0'], { codes: [7] })

    assert.equal(answer.unreachable.version, '2.0.0')
    assert.match(answer.unreachable.reason, /^db: notes\.text: the column is gone/)
    assert.equal(answer.unreachable.allowed, false)
    assert.ok(answer.warnings.some((warning) => /^2\.0\.0 .*can no longer be returned to, since 3\.0\.0 was recorded/.test(warning)))
    assert.equal(world.json(['deployments', 'production']).deployments[0].version, '3.0.0')
    const [lost] = world.json(['audit', 'search', '--kind', 'readiness.lost']).entries
    assert.deepEqual([lost.data.deployment, lost.data.version, lost.data.allowed], [answer.id, '2.0.0', false])
    const told = world.json(['notifications']).notifications.filter((entry) => entry.data.event === 'readiness')
    assert.ok(told.length, 'people are told')
  })

  it('is no news when it changed nothing more', () => {
    put(world, '4')
    const answer = world.json(['record', 'production', '--version', '4.0.0'], { codes: [0] })
    assert.equal(answer.unreachable, undefined)
  })

  it('may be allowed: noted, and no failure', () => {
    mendSchema(world)
    put(world, '5')
    const answer = world.json(['record', 'production', '--version', '5.0.0', '--allow-unreachable'], { codes: [0] })

    assert.equal(answer.unreachable.allowed, true)
    assert.equal(world.json(['audit', 'search', '--kind', 'readiness.lost']).entries[0].data.allowed, true)
  })

  it('is not said of one that failed itself', () => {
    breakSchema(world)
    assert.equal(world.json(['record', 'production', '--version', '6.0.0', '--outcome', 'failed'], { codes: [0] }).unreachable, undefined)
  })
})

describe('a server', () => {
  let world, server
  const metric = async (name) => Number((await server.fetch('/metrics')).bodyText.match(new RegExp(`^${name}\\{environment="production"\\} (\\S+)`, 'm'))?.[1])
  const changes = async () => (await server.fetch('/api/v1/audit?kind=readiness.changed')).json.entries
  const alerts = async (status) => (await server.fetch(`/api/v1/alerts?status=${status}`)).json.alerts.filter((alert) => alert.hook === 'readiness')

  before(async () => {
    world = obstacleWorld({ more: '    readiness: {every: 200ms}\n' })
    deployed(world)
    server = await startServer(world, { env: world.env })
  })
  after(async () => {
    await server?.stop()
    world.remove()
  })

  it('answers the same as the command line', async () => {
    const answer = (await server.fetch('/api/v1/environments/production/readiness')).json

    assert.deepEqual(ready(answer), [['1.0.0', true]])
    assert.equal((await server.fetch('/api/v1/environments/nowhere/readiness')).status, 404)
    assert.equal((await server.fetch('/api/v1/environments/production/readiness?targets=0')).json.errors[0].pointer, '#/targets')
  })

  it('shows no value of a configuration to the lowest role that may see it', async () => {
    const viewer = makeToken(world, 'viewer', ['production=viewer']), approver = makeToken(world, 'planner', ['production=approver'])
    const seen = await server.fetch('/api/v1/environments/production/readiness', { token: viewer })
    const plan = await server.fetch('/api/v1/environments/production/plans', { method: 'POST', token: approver, body: {} })

    assert.equal(seen.status, 200)
    assert.equal(plan.status, 200, plan.bodyText)
    assert.deepEqual(plan.json.difference.config[0].keys.map(({ key, change }) => [key, change]).sort(), [['NAME', 'value'], ['PASSWORD', 'value']])
    for (const { bodyText } of [seen, plan]) assert.doesNotMatch(bodyText, /hunter/)
    assert.equal((await server.fetch('/api/v1/environments/production/plans', { method: 'POST', token: viewer, body: {} })).status, 403)
  })

  it('looks by itself: numbers, and an entry only when something changed', async () => {
    await eventually(async () => (await metric('unship_readiness')) === 1 && (await metric('unship_ready_targets')) === 1)
    await eventually(async () => (await changes()).length === 1)
    const looked = await metric('unship_readiness_timestamp_seconds')
    await eventually(async () => (await metric('unship_readiness_timestamp_seconds')) > looked + 0.5)
    assert.equal((await changes()).length, 1)
    assert.deepEqual(await alerts('firing'), [])
  })

  it('says when the last way back is gone, and when it is there again', async () => {
    breakSchema(world)
    await eventually(async () => (await metric('unship_readiness')) === 0)
    await eventually(async () => (await alerts('firing')).length === 1)
    const [alert] = await alerts('firing')
    assert.equal(alert.labels.alertname, 'NoReadyRollbackTarget')
    assert.match(alert.annotations.summary, /production cannot be rolled back now: 1\.0\.0: db: notes\.text/)
    const [change] = await changes()
    assert.deepEqual([change.data.ready, change.data.before], [0, 1])

    mendSchema(world)
    await eventually(async () => (await alerts('firing')).length === 0 && (await metric('unship_readiness')) === 1)
  })

  it('stops at once, also while a driver hangs', async () => {
    world.script('thing', { version: '2', check: 'hang' })
    const { code } = await server.stop()
    assert.equal(code, 0)
    server = null
  })
})
