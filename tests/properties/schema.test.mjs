/* Property 2, by running: a verdict that lets older code work on the schema of newer code holds when the statements of that code are really run there.
 *
 * Many generated cases (schema_model.mjs) share one database, each with tables of its own. The old schema is made and recorded, then the changed one; `unship plan` says by its findings what stands against
 * going back; and the statements that work on the old schema are run on the changed one. No error among the findings: none of them may fail. No finding at all: they read what they read before.
 * An error without a failing statement is a false refusal; their share is said and bounded. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { World } from '../world.mjs'
import { cases } from './common.mjs'
import { aCase, changed, makeSchema, olderCode, schemaTexts } from './schema_model.mjs'
import { mariadbDatabase, postgresDatabase, sqliteDatabase } from './schema_dialects.mjs'
import { startMariadb } from '../support/mariadb.mjs'
import { Postgres } from '../support/postgres.mjs'

const batch = 40

/* Runs lists of statements as one; the answer per list: {errors: [[statement, message]], rows: [...]}. */
function runAll(database, lists) {
  const { errors, rows } = database.run(lists.flat())
  let first = 0

  return lists.map((list) => {
    const at = first
    first += list.length
    return {
      failed: new Set(list.map((_, i) => i).filter((i) => errors.has(at + i))),
      errors: list.map((statement, i) => [statement, errors.get(at + i)]).filter(([, message]) => message),
      rows: list.map((_, i) => rows.get(at + i) ?? null),
    }
  })
}

function make(database, lists) {
  database.reset()
  database.run(database.dialect.prelude ?? [])
  return runAll(database, lists).map(({ errors }) => errors.length === 0)
}

/* All cases of a batch through the program and the database: for each what was decided, and what became of it. */
function decide(world, database, given) {
  const { dialect, env } = database
  const all = given.map((one, i) => {
    const old = makeSchema(dialect, one, `c${i}_`), now = changed(dialect, old, one.changes)
    return { given: one, old: schemaTexts(dialect, old), now: schemaTexts(dialect, now), code: olderCode(dialect, old) }
  })

  make(database, all.map(({ old }) => old)).forEach((made, i) => { all[i].possible = made })
  runAll(database, all.map(({ code }) => code)).forEach(({ failed }, i) => { all[i].code = all[i].code.filter((_, at) => !failed.has(at)) })
  make(database, all.map(({ old }) => old))
  const target = world.json(['record', 'production', '--version', `1.0.${world.turn++}`, '--status', 'passing'], { env })
  runAll(database, all.map(({ code }) => code)).forEach(({ rows, errors }, i) => { Object.assign(all[i], { before: rows, flaky: errors }) })
  make(database, all.map(({ now }) => now)).forEach((made, i) => { all[i].possible &&= made })
  world.json(['record', 'production', '--version', `2.0.${world.turn++}`], { env })
  const { findings } = world.json(['plan', 'production', '--to', target.id], { codes: [0, 3, 4, 5, 6, 7], env })
  runAll(database, all.map(({ code }) => code)).forEach(({ errors, rows }, i) => { Object.assign(all[i], { errors, after: rows }) })

  for (const one of all) one.findings = []
  for (const finding of findings.filter(({ name, passed }) => name === 'schema_compatibility' && !passed)) {
    const found = /(?:^|\.)c(\d+)_/.exec(finding.evidence?.table ?? '')
    assert.ok(found, JSON.stringify(finding))
    all[found[1]].findings.push(finding)
  }
  return all
}

const told = ({ old, now, findings, errors }) => ['', ...old, '  became', ...now, '  findings', ...findings.map((f) => `${f.severity} ${f.evidence.rule}: ${f.message}`), '  failed', ...errors.map(([s, m]) => `${s} -- ${m}`)].join('\n')

class Count {
  tried = 0
  fits = 0
  lossy = 0
  refused = 0
  falsely = {}

  /* One case of decide(): is what was decided true? */
  judge(one, context) {
    const refusals = one.findings.filter(({ severity }) => severity === 'error')

    if (!one.possible || one.flaky.length) return
    this.tried++
    if (refusals.length) {
      this.refused++
      if (one.errors.length) return
      for (const { evidence } of refusals) this.falsely[evidence.rule] = (this.falsely[evidence.rule] ?? 0) + 1 / refusals.length
      if (process.env.UNSHIP_TELL_REFUSALS) context.diagnostic(`falsely refused:${told(one)}`)
      return
    }
    this[one.findings.length ? 'lossy' : 'fits']++
    assert.equal(one.errors.length, 0, `nothing spoke against going back, and the older code fails:${told(one)}`)
    if (one.findings.length === 0) assert.deepEqual(one.after, one.before, `nothing was said, and the older code reads something else:${told(one)}`)
  }

  tell(context) {
    const falsely = Object.values(this.falsely).reduce((sum, one) => sum + one, 0)
    context.diagnostic(`${this.tried} cases: ${this.fits} fit, ${this.lossy} with loss, ${this.refused} refused, of these ${Math.round(falsely)} falsely: ${Object.entries(this.falsely).map(([rule, n]) => `${rule} ${Math.round(n)}`).join(', ')}`)
    return falsely
  }
}

function prove(context, world, database, usual) {
  const count = new Count()
  const result = fc.check(fc.property(fc.array(aCase, { minLength: batch, maxLength: batch }), (given) => {
    for (const one of decide(world, database, given)) count.judge(one, context)
  }), { ...cases(usual), ...(process.env.UNSHIP_CASES ? { interruptAfterTimeLimit: undefined } : {}), endOnFailure: true })
  const falsely = count.tell(context)

  /* A batch is too long to be shown: the case that failed is. */
  if (result.failed) throw new Error(`seed ${result.seed}, after ${result.numRuns} batches: ${result.errorInstance?.message ?? 'out of time'}`)
  assert.ok(count.tried > 0.5 * batch * result.numRuns, 'most cases can be made')
  assert.ok(falsely < 0.4 * count.refused, 'most refusals are right')
}

/* Every type against every other, all when UNSHIP_CASES is set, else `share` of them, others each day. */
function proveTypes(context, world, database, share) {
  const count = new Count(), { types } = database.dialect, pairs = []
  const part = process.env.UNSHIP_CASES ? 1 : share, today = Math.floor(Date.now() / 86400000)

  for (let i = 0; i < types.length; i++) for (let j = 0; j < types.length; j++) if ((i * 7 + j + today) % part === 0) pairs.push([i, j])
  for (let at = 0; at < pairs.length; at += 150) {
    const given = pairs.slice(at, at + 150).map(([was, is]) => ({
      tables: [{ columns: [{ type: was, notNull: false, fallback: 0, unique: 1, check: 9, indexed: 4 }], identity: true, pair: 1 }],
      child: 0, rule: 0, changes: [{ kind: 'type', table: 0, column: 0, type: is, fallback: 0 }],
    }))
    for (const one of decide(world, database, given)) count.judge(one, context)
  }
  count.tell(context)
  assert.ok(count.tried > 0.9 * pairs.length, 'all types can be made')
}

describe('property 2: a verdict on a schema holds when the older code runs on it', () => {
  const open = (component) => {
    const world = World.bare(`project: p\nenvironments:\n  production:\n    components:\n      db: ${component}\n`)
    world.turn = 0
    return world
  }

  it('SQLite', (context) => {
    const dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-schema-')), database = sqliteDatabase(join(dir, 'app.db')), world = open(database.component)
    try {
      proveTypes(context, world, database, 1)
      prove(context, world, database, 8)
    } finally {
      world.remove()
      rmSync(dir, { recursive: true })
    }
  })

  for (const [name, start, reach] of [['PostgreSQL', () => Postgres.start(), postgresDatabase], ['MariaDB', startMariadb, mariadbDatabase]]) {
    it(name, async (context) => {
      const server = await start(), database = reach(server), world = open(database.component)
      try {
        proveTypes(context, world, database, 8)
        prove(context, world, database, 2)
      } finally {
        world.remove()
        await server.stop()
      }
    })
  }
})
