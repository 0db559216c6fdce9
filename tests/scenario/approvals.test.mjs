/* Four eyes on the command line: what waits for other people, who counts, what an approval is bound to, break-glass, and approval steps inside a run. Several people are played by UNSHIP_ACTOR. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

const as = (name) => ({ env: { UNSHIP_ACTOR: name } })

function flagsProject(approvals, more = '') {
  return World.bare(`project: app
environments:
  production:
    protected: true
    approvals: ${approvals}
    notify: [{channel: in-app, recipients: [team], on: [approval, emergency, completed]}]
    components: {flags: {driver: flags}}
${more}`)
}

/* Two deployments; the second is bad. */
function deployed(world, environment = 'production') {
  world.json(['flags', environment, 'set', 'checkout', 'off'])
  world.json(['record', environment, '--version', '1.0.0', '--status', 'passing'])
  world.json(['flags', environment, 'set', 'checkout', 'on'])
  world.json(['record', environment, '--version', '2.0.0', '--status', 'failing'])
}

const state = (world, environment = 'production') => world.json(['flags', environment, 'list']).flags.map((flag) => `${flag.key}=${flag.state}`).join()
const ask = (world, name, extra = []) => world.json(['rollback', 'production', '--yes', '--reason', 'errors', ...extra], as(name))
/* The same, and other people have to agree first: nothing was done, so the command does not end with 0. */
const waiting = (world, name, argv = ['rollback', 'production', '--yes', '--reason', 'errors']) => {
  const answer = world.json(argv, { ...as(name), codes: [3] })
  assert.equal(answer.waitsFor, 'approval')
  return answer
}
const kinds = (world, kind) => world.json(['audit', 'search', '--kind', kind]).entries

describe('an environment that wants two other people', () => {
  let world, approval
  before(() => {
    world = flagsProject('{required: 2}')
    deployed(world)
  })
  after(() => world.remove())

  it('changes nothing, and says who must do what', () => {
    const { code, out } = world.run(['rollback', 'production', '--yes', '--reason', 'errors'], as('ana'))

    assert.equal(code, 3)
    assert.match(out, /nothing was changed\. 2 other people must approve until \d{4}-/)
    assert.match(out, /unship approve apr-/)
    assert.equal(state(world), 'checkout=true')
    assert.equal(world.json(['runs']).runs.length, 0)
    approval = world.json(['approvals']).approvals[0]
    assert.equal(approval.status, 'pending')
    assert.equal(approval.requester, 'ana')
    assert.equal(approval.required, 2)
  })

  it('tells of it', () => {
    const queued = kinds(world, 'notification.queued').filter((entry) => entry.data.event === 'approval')
    assert.equal(queued.length, 1)
    assert.match(queued[0].data.message, new RegExp(`ana asks for .*${approval.id}`))
  })

  it('takes the same request a second time for the same', () => {
    assert.equal(waiting(world, 'ana').approval.id, approval.id)
    assert.equal(world.json(['approvals']).approvals.length, 1)
  })

  it('a dry run waits for nobody', () => {
    assert.equal(world.json(['rollback', 'production', '--dry-run'], as('ana')).dryRun, true)
    assert.equal(world.json(['approvals']).approvals.length, 1)
  })

  it('does not count the one who asked', () => {
    const refused = world.run(['approve', approval.id], as('ana'))
    assert.equal(refused.code, 3)
    assert.match(refused.err, /somebody else must approve/)
    assert.equal(kinds(world, 'refused').filter((entry) => entry.data.operation === 'rollbacks.approve').length, 1)
  })

  it('counts each person once', () => {
    assert.equal(world.json(['approve', approval.id], as('ben')).approval.approvedBy, 1)
    assert.equal(world.run(['approve', approval.id], as('ben')).code, 4)
    assert.equal(state(world), 'checkout=true')
  })

  it('shows what would change', () => {
    const shown = world.json(['approvals', 'show', approval.id], as('cho'))
    assert.equal(shown.shown.target.version, '1.0.0')
    assert.equal(shown.planHash, shown.shown.planHash)
    assert.match(world.run(['approvals', 'show', approval.id], as('cho')).out, /ben approved/)
  })

  it('carries it out with the last approval, as the one who asked', () => {
    const answer = world.json(['approve', approval.id, '--reason', 'seen'], as('cho'))
    assert.equal(answer.result.status, 'completed')
    assert.equal(answer.approval.status, 'used')
    assert.equal(answer.approval.run, answer.result.rollbackId)
    assert.equal(state(world), 'checkout=false')
    assert.equal(world.json(['runs']).runs[0].actor, 'ana')
  })

  it('is used once', () => {
    assert.equal(world.run(['approve', approval.id], as('dan')).code, 2)
    assert.equal(kinds(world, 'approval.used').length, 1)
  })

  it('asks for an undo and for restoring a snapshot as well', () => {
    waiting(world, 'ana', ['undo', '--yes'])
    waiting(world, 'ana', ['snapshots', 'restore', '--yes'])
    assert.equal(state(world), 'checkout=false')
    const [restore, undo] = world.json(['approvals']).approvals
    assert.deepEqual([undo.operation, restore.operation], ['rollbacks.undo', 'snapshots.restore'])
    world.json(['approve', undo.id], as('ben'))
    assert.equal(world.json(['approve', undo.id], as('cho')).result.status, 'completed')
    assert.equal(state(world), 'checkout=true')
    /* and now the other one was approved for a state that is no more */
    world.json(['approve', restore.id], as('ben'))
    assert.equal(world.json(['approve', restore.id], { ...as('cho'), codes: [3] }).error.code, 'changed')
    assert.equal(state(world), 'checkout=true')
  })

  it('keeps a journal that is whole', () => assert.equal(world.json(['audit', 'verify']).intact, true))
})

describe('one rejection', () => {
  let world
  before(() => {
    world = flagsProject('{required: 2}')
    deployed(world)
  })
  after(() => world.remove())

  it('ends the request, and another can be made', () => {
    const { approval } = waiting(world, 'ana')
    world.json(['approve', approval.id], as('ben'))
    assert.equal(world.json(['reject', approval.id, '--reason', 'not now'], as('cho')).approval.status, 'rejected')
    assert.equal(world.run(['approve', approval.id], as('dan')).code, 2)
    assert.equal(state(world), 'checkout=true')
    assert.notEqual(waiting(world, 'ana').approval.id, approval.id)
  })

  it('a request is withdrawn by the one who made it', () => {
    const { approval } = waiting(world, 'ben')
    assert.equal(world.json(['approvals', 'withdraw', approval.id], as('ben')).status, 'withdrawn')
    assert.equal(world.run(['approve', approval.id], as('cho')).code, 2)
  })
})

describe('an approval is for what was shown', () => {
  let world
  before(() => {
    world = flagsProject('{required: 1}')
    world.json(['flags', 'production', 'set', 'banner', 'off'])
    deployed(world)
  })
  after(() => world.remove())

  it('another state is refused, and the approval holds when it comes back', () => {
    const { approval } = waiting(world, 'ana')
    world.json(['flags', 'production', 'set', 'banner', 'on'])
    const refused = world.json(['approve', approval.id], { ...as('ben'), codes: [3] })
    assert.equal(refused.error.code, 'changed')
    assert.equal(refused.approval.status, 'approved')
    const said = world.run(['approvals', 'show', approval.id], as('ben')).out
    assert.match(said, /holds until .*, and only for the state that was shown/)
    assert.match(said, /next: ana asks for the same again: it is carried out if the state is as it was shown, else that is a new request/)
    assert.match(world.run(['approvals']).out, new RegExp(`${approval.id} +production +rollbacks\\.create +1\\.0\\.0 +ana +approved .*Z +errors\\n`))
    assert.equal(state(world), 'banner=true,checkout=true')
    world.json(['flags', 'production', 'set', 'banner', 'off'])
    assert.equal(ask(world, 'ana').status, 'completed')
    assert.equal(state(world), 'banner=false,checkout=false')
    assert.equal(world.json(['approvals', 'show', approval.id]).status, 'used')
  })
})

describe('a plan written by hand', () => {
  let world
  before(() => {
    world = flagsProject('{required: 1}')
    deployed(world)
  })
  after(() => world.remove())

  it('shows the approver what each step does, and with what', () => {
    const plan = world.writePlan('p.json', { id: 'p', name: 'P', steps: [
      { id: 'off', type: 'feature-flag', parameters: { flagKey: 'checkout', targetState: false }, timeout: 5 },
      { id: 'look', type: 'command', parameters: { argv: ['true', 'a b'] }, timeout: 5 },
    ] })
    const { approval } = waiting(world, 'ana', ['rollback', 'production', '--plan', plan, '--yes', '--reason', 'by hand'])
    const { out } = world.run(['approvals', 'show', approval.id], as('ben'))
    assert.match(out, / 1\. off +feature-flag.*\n +flagKey checkout, targetState false\n/)
    assert.match(out, / 2\. look +command.*\n +argv \["true","a b"\]\n/)
    assert.match(world.run(['approvals']).out, /by hand/)
  })
})

describe('a protected environment without a rule', () => {
  let world
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production: {protected: true, components: {flags: {driver: flags}}}\n')
    deployed(world)
  })
  after(() => world.remove())

  it('wants another person for --force, and for nothing else', () => {
    waiting(world, 'ana', ['rollback', 'production', '--yes', '--reason', 'errors', '--force'])
    assert.equal(state(world), 'checkout=true')
    assert.equal(ask(world, 'ana').status, 'completed')
    assert.equal(waiting(world, 'ana', ['undo', '--yes', '--force']).approval.required, 1)
  })
})

describe('breaking the glass', () => {
  let world, opened
  before(() => {
    world = flagsProject('{required: 2}', '  staging: {approvals: {required: 1}, components: {flags: {driver: flags}}}\n')
    deployed(world)
    deployed(world, 'staging')
  })
  after(() => world.remove())

  it('needs a reason, and lasts at most an hour', () => {
    assert.equal(world.run(['breakglass', 'open', 'production', '--yes'], as('ana')).code, 2)
    assert.equal(world.run(['breakglass', 'open', 'production', '--yes', '--reason', 'x', '--minutes', '61'], as('ana')).code, 2)
  })

  it('is told to everybody at once', () => {
    opened = world.json(['breakglass', 'open', 'production', '--yes', '--reason', 'nobody answers', '--minutes', '5'], as('ana'))
    assert.equal(opened.open, true)
    const queued = kinds(world, 'notification.queued').filter((entry) => entry.data.event === 'emergency')
    assert.match(queued[0].data.message, /ana broke the glass in production until .*: nobody answers/)
    assert.equal(kinds(world, 'notification.delivered').length > 0, true)
  })

  it('lets that person act there, and nobody else, and nowhere else', () => {
    waiting(world, 'ben')
    waiting(world, 'ana', ['rollback', 'staging', '--yes', '--reason', 'x'])
    assert.equal(ask(world, 'ana').status, 'completed')
    assert.equal(kinds(world, 'run.requested')[0].data.breakglass, opened.id)
  })

  it('is reviewed by another person before it can be done again', () => {
    assert.equal(world.run(['breakglass', 'close', opened.id], as('ana')).code, 0)
    waiting(world, 'ana', ['undo', '--yes'])
    assert.equal(world.run(['breakglass', 'open', 'staging', '--yes', '--reason', 'again'], as('ana')).code, 4)
    assert.equal(world.run(['breakglass', 'review', opened.id, '--note', 'fine'], as('ana')).code, 3)
    assert.equal(world.json(['breakglass', 'review', opened.id, '--note', 'fine'], as('ben')).reviewedBy, 'ben')
    assert.equal(world.json(['breakglass', 'open', 'staging', '--yes', '--reason', 'again'], as('ana')).open, true)
    assert.equal(world.json(['breakglass', 'list']).breakglasses.length, 2)
  })
})

describe('an approval step in a run', () => {
  let world, run
  const plan = { id: 'p', name: 'P', steps: [
    { id: 'ask', type: 'approval', parameters: { message: 'sure?', approvals: 2 }, timeout: 60 },
    { id: 'off', type: 'feature-flag', parameters: { flagKey: 'checkout', targetState: false }, timeout: 5, needs: ['ask'] },
  ] }
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production: {components: {flags: {driver: flags}}}\n')
    world.json(['flags', 'production', 'set', 'checkout', 'on'])
  })
  after(() => world.remove())

  it('waits for two people, and not for the one who asked', () => {
    const held = world.json(['rollback', 'production', '--plan', world.writePlan('p.json', plan), '--yes', '--reason', 'x'], { ...as('ana'), codes: [5] })
    run = held.rollbackId
    assert.equal(world.run(['approve', run], as('ana')).code, 3)
    assert.equal(world.json(['approve', run], as('ben')).status, 'waiting')
    assert.equal(world.run(['approve', run], as('ben')).code, 4)
    assert.equal(state(world), 'checkout=true')
    assert.equal(world.json(['approve', run], as('cho')).status, 'completed')
    assert.equal(state(world), 'checkout=false')
  })

  it('whoever asked may say no', () => {
    world.json(['flags', 'production', 'set', 'checkout', 'on'])
    const held = world.json(['rollback', 'production', '--plan', world.writePlan('p.json', plan), '--yes', '--reason', 'x'], { ...as('ana'), codes: [5] })
    world.json(['reject', held.rollbackId], { ...as('ana'), codes: [1, 3] })
    assert.equal(state(world), 'checkout=true')
    assert.match(world.json(['status', held.rollbackId]).status, /restored|refused/)
  })
})
