/* Property 2, configurations: what unship decides about a configuration that stays is what the older code would meet. Generated trees are recorded, changed at random and compared with a small model: the
 * older code reads every value that it knew, by its path. (Schemas: schema.test.mjs.) */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { World } from '../world.mjs'
import { cases } from './common.mjs'

const key = fc.constantFrom('host', 'port', 'log', 'limits', 'mail')
const { tree } = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.oneof(fc.constantFrom('', 'text', '5'), fc.integer({ min: -5, max: 5 }), fc.constantFrom(0.5, 2.25), fc.boolean(), fc.constant(null), fc.constantFrom([], [1, 'a'])), tie('tree')),
  tree: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
}))
const change = fc.record({ path: fc.array(key, { minLength: 1, maxLength: 3 }), value: fc.oneof(fc.constant(undefined), fc.constantFrom('text', 5, 0.5, true, null, [], {}), tree) })

const isTree = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const kind = (value) => (Array.isArray(value) ? 'list' : value === null ? 'null' : typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'number') : typeof value)

function applied(tree, { path, value }) {
  let at = tree

  for (const part of path.slice(0, -1)) {
    if (!isTree(at[part])) return
    at = at[part]
  }
  if (value === undefined) delete at[path.at(-1)]
  else at[path.at(-1)] = structuredClone(value)
}

/* [path, value] of everything that is read: leaves, and trees in which there is nothing. */
const leaves = (tree, path = []) => Object.entries(tree).flatMap(([name, value]) => (isTree(value) && Object.keys(value).length ? leaves(value, [...path, name]) : [[[...path, name], value]]))
const reading = (tree, path) => path.reduce((at, part) => (isTree(at) && Object.hasOwn(at, part) ? at[part] : undefined), tree)

describe('property 2: what stays of a configuration serves the older code', () => {
  let world

  before(() => {
    world = World.bare(`project: p
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.json]}
      code: {driver: files, paths: [state/code.env]}
`)
  })
  after(() => world.remove())

  it('missing keys are errors, other types are warnings, and nothing else is said', () => {
    let turn = 0

    fc.assert(fc.property(tree, fc.array(change, { maxLength: 4 }), (old, changes) => {
      const live = structuredClone(old)
      for (const one of changes) applied(live, one)
      const put = (content) => {
        writeFileSync(join(world.app, 'state/app.json'), JSON.stringify(content))
        writeFileSync(join(world.app, 'state/code.env'), `TURN=${turn++}\n`)
      }
      put(old)
      const target = world.json(['record', 'production', '--version', `1.0.${turn}`, '--status', 'passing'])
      put(live)
      world.json(['record', 'production', '--version', `2.0.${turn}`])
      const { findings } = world.json(['plan', 'production', '--to', target.id, '--target', 'code'])
      const said = findings.filter(({ name, passed, component }) => name === 'config_compatibility' && !passed && component === 'config').map(({ severity, evidence }) => `${severity} ${evidence.key}`).sort()
      const expected = leaves(old).flatMap(([path, value]) => {
        const now = reading(live, path)
        if (now === undefined) return [`error ${path.join('.')}`]
        if (isTree(value) && isTree(now)) return []
        if (isTree(now) && Object.keys(now).length) return [`error ${path.join('.')}`] // a value became a tree of others
        return kind(now) === kind(value) ? [] : [`warning ${path.join('.')}`]
      }).sort()

      assert.deepEqual(said, expected, JSON.stringify({ old, live }))
    }), cases(60))
  })
})
