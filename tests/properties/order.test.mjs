/* Property 10: progress is complete (every transition is seen, in order, once). Property 11: critical components come first. Property 12: the audit trail is complete. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { World } from '../world.mjs'
import { cases } from './common.mjs'

describe('property 10: progress is complete', () => {
  const step = fc.record({ ok: fc.boolean(), needs: fc.array(fc.nat(), { maxLength: 2 }), attempts: fc.integer({ min: 1, max: 2 }) })

  it('every transition of every step is seen, in order, once', () => {
    const world = World.bare('project: p\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n')

    try {
      fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), fc.constantFrom('restore', 'stop', 'continue'), (steps, onFailure) => {
        const plan = {
          id: 'p', name: 'p', onFailure,
          steps: steps.map(({ ok, needs, attempts }, index) => ({
            id: `s${index}`, type: 'command', timeout: 10, retryPolicy: { maxAttempts: attempts, backoffMultiplier: 1 },
            parameters: { argv: [ok ? 'true' : 'false'], undo: ['true'] },
            needs: index ? [...new Set(needs.map((n) => `s${n % index}`))] : [],
          })),
        }
        const result = world.run(['rollback', 'production', '--plan', world.writePlan('p.json', plan), '--reason', 'test', '--yes', '--json'])
        assert.ok([0, 1, 5].includes(result.code), result.out + result.err)
        const { rollbackId, run } = JSON.parse(result.out)
        const entries = world.json(['audit', 'search', '--run', rollbackId, '--limit', '10000']).entries.reverse()
        const position = (kind, id) => entries.findIndex((entry) => entry.kind === kind && (!id || entry.data.step === id))

        assert.equal(entries.filter(({ kind }) => kind === 'run.requested').length, 1)
        assert.equal(entries.filter(({ kind }) => kind === 'run.ended').length, 1)
        assert.ok(position('run.requested') < position('run.started') && position('run.started') < position('snapshot.taken'))
        assert.equal(run.steps.length, plan.steps.length)
        for (const { id, needs } of plan.steps) {
          const own = entries.filter((entry) => entry.data.step === id && ['step.begun', 'step.ended'].includes(entry.kind)).map((entry) => `${entry.kind} ${entry.data.verb} ${entry.data.attempt}`)
          assert.equal(new Set(own).size, own.length, `seen twice: ${own}`)
          own.forEach((line, index) => assert.ok(line.startsWith(index % 2 ? 'step.ended' : 'step.begun'), `out of order: ${own}`))
          assert.equal(own.length % 2, 0, `a transition is missing: ${own}`)
          for (const need of needs) if (position('step.begun', id) >= 0) assert.ok(position('step.ended', need) < position('step.begun', id))
          const status = run.steps.find(({ stepId }) => stepId === id).status
          assert.ok(!['pending', 'in_progress', 'undoing'].includes(status) || own.length === 0, `${id} is ${status} at the end`)
        }
      }), cases(20))
    } finally {
      world.remove()
    }
  })
})

describe('property 11: critical components come first', () => {
  const component = fc.record({ critical: fc.boolean(), needs: fc.array(fc.nat(), { maxLength: 2 }) })

  it('in every generated plan, where what they need allows it', () => {
    fc.assert(fc.property(fc.array(component, { minLength: 2, maxLength: 7 }), (components) => {
      const needs = components.map((c, index) => (index ? [...new Set(c.needs.map((n) => n % index))] : []))
      const world = World.bare(`project: p
environments:
  production:
    components:
${components.map((c, i) => `      c${i}: {driver: files, paths: [state/c${i}.env], critical: ${c.critical}, needs: [${needs[i].map((n) => `c${n}`)}]}`).join('\n')}
`)

      try {
        const write = (value) => components.forEach((_, i) => writeFileSync(join(world.app, `state/c${i}.env`), `VALUE=${value}\n`))
        write('old')
        world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
        write('new')
        world.json(['record', 'production', '--version', '2.0.0'])
        const { steps } = world.json(['plan', 'production']).plan
        const of = (i) => steps.findIndex((step) => step.parameters.service === `c${i}`)
        const critical = new Set()
        const mark = (i) => { if (!critical.has(i)) { critical.add(i); needs[i].forEach(mark) } }
        components.forEach((c, i) => c.critical && mark(i))
        const reaches = (id, other, seen = new Set()) => {
          if (id === other) return true
          if (seen.has(id)) return false
          seen.add(id)
          return (steps.find((step) => step.id === id).needs ?? []).some((need) => reaches(need, other, seen))
        }

        assert.equal(steps.filter((step) => step.type === 'configuration').length, components.length)
        for (let i = 0; i < components.length; i++)
          for (let j = 0; j < components.length; j++)
            if (critical.has(i) && !critical.has(j)) assert.ok(reaches(steps[of(j)].id, steps[of(i)].id), `c${j} may begin before c${i}, which is critical`)
      } finally {
        world.remove()
      }
    }), cases(15))
  })
})

describe('property 12: the audit trail is complete', () => {
  const action = fc.oneof(
    fc.record({ what: fc.constant('flag'), key: fc.constantFrom('a', 'b'), state: fc.boolean() }),
    fc.record({ what: fc.constant('record'), status: fc.constantFrom('passing', 'failing') }),
    fc.record({ what: fc.constant('quarantine'), which: fc.nat() }),
    fc.record({ what: fc.constant('release'), which: fc.nat() }),
    fc.record({ what: fc.constant('rollback') }),
  )

  it('each action that was acknowledged is there with who, what and why, and no alteration goes unseen', () => {
    fc.assert(fc.property(fc.array(action, { minLength: 1, maxLength: 6 }), fc.nat(), (actions, which) => {
      const world = World.bare('project: p\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n')
      const env = { UNSHIP_ACTOR: 'ana' }
      const expected = []
      const deployments = []
      const flags = {}

      try {
        actions.forEach((a, index) => {
          const reason = `because ${index}`
          if (a.what === 'flag') {
            world.json(['flags', 'production', 'set', a.key, String(a.state), '--reason', reason], { env })
            if (flags[a.key] !== a.state) expected.push(['flag.set', reason])
            flags[a.key] = a.state
          } else if (a.what === 'record') {
            deployments.push(world.json(['record', 'production', '--version', `1.0.${index}`, '--status', a.status], { env }).id)
            expected.push(['deployment.recorded'], ['deployment.health'])
          } else if (deployments.length && a.what !== 'rollback') {
            world.json(['deployments', a.what, deployments[a.which % deployments.length], '--reason', reason], { env })
            expected.push([`deployment.${a.what}`, reason])
          } else if (deployments.length > 1 && a.what === 'rollback') {
            const result = world.run(['rollback', 'production', '--reason', reason, '--yes', '--json'], { env })
            if (JSON.parse(result.out).rollbackId) expected.push(['run.requested', reason])
          }
        })
        const entries = world.json(['audit', 'search', '--limit', '10000']).entries.reverse()
        let from = 0
        for (const [kind, reason] of expected) {
          const at = entries.findIndex((entry, index) => index >= from && entry.kind === kind && (!reason || entry.data.reason === reason))
          assert.ok(at >= 0, `${kind} ${reason ?? ''} is not in the trail`)
          assert.equal(entries[at].actor, 'ana')
          from = kind === 'deployment.health' ? from : at
        }
        if (!entries.length) return
        assert.equal(world.json(['audit', 'verify']).entries, entries.length)
        const victim = entries[which % entries.length].seq
        const tampered = spawnSync('sqlite3', [join(world.app, '.deployments/unship.db'), `UPDATE entries SET actor = 'eve' WHERE seq = ${victim}`], { encoding: 'utf8' })
        assert.equal(tampered.status, 0, tampered.stderr)
        const verdict = world.run(['audit', 'verify'])
        assert.equal(verdict.code, 6)
        assert.match(verdict.err, new RegExp(`\\b${victim}\\b`))
      } finally {
        world.remove()
      }
    }), cases(15))
  })
})
