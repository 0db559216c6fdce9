/* Property 2: decisions about compatibility are right. Schemas are generated, changed at random, and what unship decides is compared with a small model written here:
 * the old code runs when every table and column that it knew is there with the same type, and nothing that was added insists on a value. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { World } from '../world.mjs'
import { cases } from './common.mjs'

const types = ['INTEGER', 'TEXT', 'REAL', 'BLOB']
const column = fc.record({ type: fc.constantFrom(...types), notNull: fc.boolean() })
const schema = fc.dictionary(fc.constantFrom('users', 'orders', 'items'), fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), column, { minKeys: 1 }), { minKeys: 1 })
const change = fc.oneof(
  fc.record({ kind: fc.constant('drop-table'), table: fc.nat() }),
  fc.record({ kind: fc.constant('drop-column'), table: fc.nat(), column: fc.nat() }),
  fc.record({ kind: fc.constant('add-column'), table: fc.nat(), type: fc.constantFrom(...types), notNull: fc.boolean(), withDefault: fc.boolean() }),
  fc.record({ kind: fc.constant('add-table') }),
)

const quote = (name) => `"${name}"`
const columnText = (name, { type, notNull, fallback }) => `${quote(name)} ${type}${notNull ? ' NOT NULL' : ''}${fallback ? ' DEFAULT 0' : ''}`
const create = (tables) => Object.entries(tables).map(([table, columns]) =>
  `CREATE TABLE ${quote(table)} (id INTEGER PRIMARY KEY, ${Object.entries(columns).map(([name, c]) => columnText(name, c)).join(', ')});`).join('\n')

function apply(tables, { kind, ...c }) {
  const names = Object.keys(tables)
  const table = names.length ? names[c.table % names.length] : undefined

  if (kind === 'add-table') tables.fresh = { x: { type: 'TEXT', notNull: true } }
  else if (table === undefined) return
  else if (kind === 'drop-table') delete tables[table]
  else if (kind === 'add-column') tables[table].added = { type: c.type, notNull: c.notNull, fallback: c.withDefault }
  else if (Object.keys(tables[table]).length > 1) delete tables[table][Object.keys(tables[table])[c.column % Object.keys(tables[table]).length]]
}

/* The model: may code that was written for `old` run on `live`? */
function runsOn(old, live) {
  for (const [table, columns] of Object.entries(old)) {
    if (!live[table]) return false
    for (const name of Object.keys(columns)) if (!live[table][name]) return false
    for (const [name, c] of Object.entries(live[table])) if (!columns[name] && c.notNull && !c.fallback) return false
  }
  return true
}

describe('property 2: compatibility decisions are right', () => {
  let world

  before(() => {
    world = World.bare(`project: p
environments:
  production:
    components:
      db: {driver: sqlite, path: state/app.db}
      config: {driver: files, paths: [state/app.env]}
`)
  })
  after(() => world.remove())

  it('a target is refused exactly when its code cannot run on the live schema', () => {
    let turn = 0

    fc.assert(fc.property(schema, fc.array(change, { maxLength: 3 }), (old, changes) => {
      const live = structuredClone(old)
      for (const c of changes) apply(live, c)
      const remake = (tables) => {
        for (const suffix of ['', '-wal', '-shm']) rmSync(join(world.app, `state/app.db${suffix}`), { force: true })
        world.sql(create(tables) || 'VACUUM')
      }
      remake(old)
      const target = world.json(['record', 'production', '--version', `1.0.${turn++}`, '--status', 'passing'])
      remake(live)
      world.json(['record', 'production', '--version', `2.0.${turn++}`])
      const { findings } = world.json(['plan', 'production', '--to', target.id])
      const refused = findings.some(({ name, passed, severity }) => name === 'schema_compatibility' && !passed && severity === 'error')

      assert.equal(refused, !runsOn(old, live), JSON.stringify({ old, live, findings }))
    }), cases(30))
  })
})
