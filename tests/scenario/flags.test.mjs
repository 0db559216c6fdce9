/* Feature flags at the command line: what a definition makes of a flag, what a state means, and that a kill leaves nothing on. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

const project = `project: app
environments:
  production:
    components:
      flags: {driver: flags}
  staging:
    components:
      flags: {driver: flags}
`
const search = `type: string
description: the new search
group: phase-4
variants: {classic: v1, fast: v2, beta: v3}
defaultVariant: fast
offVariant: classic
rules:
  - if: [{attribute: plan, op: equals, value: pro}, {attribute: age, op: greater, value: 17}]
    then: beta
  - share: {fast: 10, classic: 90}
`

describe('feature flags', () => {
  let world

  before(() => {
    world = World.bare(project)
    writeFileSync(join(world.app, 'search.yaml'), search)
  })
  after(() => world.remove())

  const flags = (...argv) => world.json(['flags', 'production', ...argv])
  const ask = (key, context) => {
    const { value, variant, reason } = flags('evaluate', key, ...(context ? ['--context', JSON.stringify(context)] : []))
    return `${JSON.stringify(value)} ${variant} ${reason}`
  }

  it('a flag that was only set is a boolean', () => {
    flags('set', 'checkout', 'on', '--group', 'phase-4')
    assert.equal(ask('checkout'), 'true on STATIC')
    flags('set', 'checkout', 'off')
    assert.equal(ask('checkout'), 'false off DISABLED')
    assert.equal(flags('show', 'checkout').defined, false)
  })

  it('a definition gives it variants and rules; a new flag is off', () => {
    assert.equal(flags('define', 'search', join(world.app, 'search.yaml')).state, 'false')
    assert.equal(ask('search', { plan: 'pro', age: 18 }), '"v1" classic DISABLED')
    flags('set', 'search', 'on')
    assert.equal(ask('search', { plan: 'pro', age: 18 }), '"v3" beta TARGETING_MATCH')
    assert.equal(ask('search', { plan: 'pro', age: '18', targetingKey: 'user-2' }), '"v1" classic SPLIT')
    assert.equal(flags('show', 'search').definition.rules.length, 2)
    const result = world.run(['flags', 'production', 'evaluate', 'search'])
    assert.equal(result.code, 2)
    assert.match(result.err, /targetingKey/)
  })

  it('a state that it does not know is refused, with those that it does', () => {
    const result = world.run(['flags', 'production', 'set', 'search', 'slow', '--new-variant'])
    assert.equal(result.code, 2)
    assert.match(result.err, /true, false, beta, classic, fast/)
    assert.equal(flags('show', 'search').state, 'true')
    flags('set', 'search', 'beta')
    assert.equal(ask('search'), '"v3" beta STATIC')
  })

  it('a wrong definition is refused with its lines, and changes nothing', () => {
    writeFileSync(join(world.app, 'wrong.yaml'), search.replace('then: beta', 'then: bta').replace('classic: 90', 'classic: 80'))
    const result = world.run(['flags', 'production', 'define', 'search', join(world.app, 'wrong.yaml')])
    assert.equal(result.code, 2)
    assert.match(result.err, /wrong\.yaml:9:\d+: .*no variant 'bta'.*1 more problem/s)
    assert.equal(ask('search'), '"v3" beta STATIC')
  })

  it('a group is killed at once, and nothing of it evaluates to anything but off', () => {
    flags('set', 'checkout', 'on')
    const killed = flags('disable-group', 'phase-4', '--reason', 'errors')
    assert.equal(killed.disabled, 2)
    for (const context of [undefined, { plan: 'pro', age: 30, targetingKey: 'ana' }]) {
      assert.equal(ask('checkout', context), 'false off DISABLED')
      assert.equal(ask('search', context), '"v1" classic DISABLED')
    }
  })

  it('what was killed is restored one by one, and the history says so', () => {
    const change = flags('history').changes.find((entry) => entry.feature_name === 'search' && entry.new_state === 'false')

    assert.deepEqual([change.previous_state, change.reason], ['beta', 'errors'])
    flags('restore', change.id)
    assert.equal(ask('search'), '"v3" beta STATIC')
    assert.equal(ask('checkout'), 'false off DISABLED')
    assert.ok(flags('history').changes.find((entry) => entry.id === change.id).restored_at)
  })

  it('a rollback that sets a flag is bound by its definition too', () => {
    const plan = world.writePlan('wrong.json', { id: 'p', name: 'p', steps: [{ id: 'set', type: 'feature-flag', parameters: { flagKey: 'search', targetState: 'slow' }, timeout: 20 }] })
    const result = world.run(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'])

    assert.notEqual(result.code, 0)
    assert.match(result.out + result.err, /no variant 'slow'/)
    assert.equal(ask('search'), '"v3" beta STATIC')
  })

  it('environments do not share flags, and a removed flag is gone but for its history', () => {
    assert.equal(world.json(['flags', 'staging', 'list']).flags.length, 0)
    flags('remove', 'search')
    assert.equal(world.run(['flags', 'production', 'evaluate', 'search']).code, 2)
    assert.ok(flags('history').changes.some((entry) => entry.feature_name === 'search'))
    assert.equal(world.run(['audit', 'verify']).code, 0)
  })
})
