/* Schemas, changes of them, and the older code, for the property that compatibility decisions are right (schema.test.mjs).
 *
 * A case is a schema of one or two tables and a few changes. From it follow, in the words of a dialect (schema_dialects.mjs): the statements that make the old schema, those that make the changed one, and
 * what code that knew the old schema may do: insert rows of valid values, leave out what may be left out, write NULL where that was allowed, look up, update, upsert on every key, delete. Which of its
 * statements are valid is not computed here: they are run on the old schema, and what fails there is no statement of the older code. */
import fc from 'fast-check'

const column = fc.record({
  type: fc.nat(99), notNull: fc.boolean(), fallback: fc.nat(3), unique: fc.nat(5), check: fc.nat(9), indexed: fc.nat(4),
})
const table = fc.record({ columns: fc.array(column, { minLength: 1, maxLength: 4 }), identity: fc.boolean(), pair: fc.nat(5) })
const change = fc.record({
  kind: fc.constantFrom('drop-table', 'rename-table', 'add-table', 'drop-column', 'rename-column', 'add-column', 'add-column', 'type', 'type', 'type', 'null', 'null', 'default', 'default', 'unique',
    'drop-unique', 'check', 'check', 'drop-check', 'foreign-key', 'drop-foreign-key', 'delete-rule', 'primary-key', 'view', 'drop-index', 'generated', 'special', 'special'),
  table: fc.nat(9), column: fc.nat(9), type: fc.nat(99), notNull: fc.boolean(), fallback: fc.nat(3), number: fc.nat(9), flag: fc.boolean(),
})
export const aCase = fc.record({ tables: fc.array(table, { minLength: 1, maxLength: 2 }), child: fc.nat(5), rule: fc.nat(3), changes: fc.array(change, { maxLength: 3 }) })

const deleteRules = ['NO ACTION', 'CASCADE', 'SET NULL', 'RESTRICT']
const letters = ['a', 'b', 'c', 'd']

/* ---- the model: {NAME: {columns: {NAME: {type, notNull, fallback, identity, generated}}, primary, uniques, checks, keys, indexes, view}} ---- */

function makeColumn(dialect, { type, notNull, fallback }) {
  const chosen = dialect.types[type % dialect.types.length]
  const values = chosen.values
  return { type: chosen, notNull, fallback: fallback && !chosen.noDefault ? values[fallback % values.length] : null }
}

function makeCheck(dialect, name, { type }, number) {
  if (type.number) {
    return [`${name} >= 0`, `${name} >= -5`, `${name} BETWEEN 0 AND 100`, `${name} > 0 AND ${name} < 50`, `${name} <> 3`, `${name} IN (1, 2, 3)`, `${name} IS NOT NULL`, `${name} < 1000`, `${name} > -1 OR ${name} IS NULL`,
      `${name} <= 100`][number % 10]
  }
  if (!type.text) return `${name} IS NOT NULL`
  return [`${dialect.length}(${name}) <= 5`, `${dialect.length}(${name}) >= 1`, `${name} IN ('a', 'b')`, `${name} IN ('a', 'b', 'c')`, `${name} <> 'x'`, `${dialect.length}(${name}) <= 20`, `${name} = 'a'`, `${name} IS NOT NULL`,
    `${dialect.length}(${name}) BETWEEN 1 AND 3`, `${name} <> ''`][number % 10]
}

function makeTable(dialect, { columns, identity, pair }) {
  const made = { columns: { id: { type: dialect.id, notNull: true, fallback: null, identity } }, primary: ['id'], uniques: [], checks: {}, keys: [], indexes: [] }

  columns.forEach((given, i) => {
    const name = letters[i], one = made.columns[name] = makeColumn(dialect, given)
    if (given.unique === 0 && one.type.key) made.uniques.push([name])
    if (given.check === 0 || given.check === 1) made.checks[`${name}_check`] = makeCheck(dialect, name, one, given.type)
    if (given.indexed === 0 && one.type.key) made.indexes.push([name])
  })
  if (pair === 0 && columns.length > 1 && ['a', 'b'].every((name) => made.columns[name].type.key)) made.uniques.push(['a', 'b'])
  return made
}

export function makeSchema(dialect, { tables, child, rule }, prefix) {
  const schema = {}

  tables.forEach((given, i) => { schema[`${prefix}t${i}`] = makeTable(dialect, given) })
  if (tables.length > 1 && child > 1) {
    schema[`${prefix}t1`].columns.parent = { type: dialect.id, notNull: child === 2, fallback: null }
    schema[`${prefix}t1`].keys.push({ columns: ['parent'], table: `${prefix}t0`, rule: child === 2 && rule === 2 ? 'CASCADE' : deleteRules[rule] })
  }
  return schema
}

/* What uses a column or table goes with it, as in every engine or after a migration that works. */
function forget(made, name) {
  delete made.columns[name]
  made.uniques = made.uniques.filter((columns) => !columns.includes(name))
  made.indexes = made.indexes.filter((columns) => !columns.includes(name))
  made.keys = made.keys.filter(({ columns }) => !columns.includes(name))
  made.checks = Object.fromEntries(Object.entries(made.checks).filter(([, text]) => !new RegExp(`\\b${name}\\b`).test(text)))
}
const renamed = (list, from, to) => list.map((name) => (name === from ? to : name))

const changers = {
  'drop-table': (schema, name) => {
    delete schema[name]
    for (const other of Object.values(schema)) other.keys = other.keys.filter((key) => key.table !== name)
  },
  'rename-table': (schema, name) => {
    schema[`${name}_new`] = schema[name]
    delete schema[name]
    for (const other of Object.values(schema)) for (const key of other.keys) if (key.table === name) key.table = `${name}_new`
  },
  'add-table': (schema, name, _, { number, rule }, dialect) => {
    schema[`${name}_more`] = makeTable(dialect, { columns: [{ type: number, notNull: true, fallback: 0, unique: 1, check: 9, indexed: 0 }], identity: true })
    schema[`${name}_more`].columns.parent = { type: dialect.id, notNull: false, fallback: null }
    if (schema[name].primary.join() === 'id') schema[`${name}_more`].keys.push({ columns: ['parent'], table: name, rule: deleteRules[(rule ?? number) % 4] })
  },
  'drop-column': (schema, name, column) => forget(schema[name], column),
  'rename-column': (schema, name, column) => {
    const made = schema[name]
    made.columns[`${column}_new`] = made.columns[column]
    delete made.columns[column]
    made.uniques = made.uniques.map((list) => renamed(list, column, `${column}_new`))
    made.indexes = made.indexes.map((list) => renamed(list, column, `${column}_new`))
    for (const key of made.keys) key.columns = renamed(key.columns, column, `${column}_new`)
    for (const check of Object.keys(made.checks)) made.checks[check] = made.checks[check].replaceAll(new RegExp(`\\b${column}\\b`, 'g'), `${column}_new`)
  },
  'add-column': (schema, name, _, change, dialect) => {
    const made = schema[name], added = made.columns.added = makeColumn(dialect, change)
    if (change.number === 0 && added.type.key) made.uniques.push(['added'])
    if (change.number === 1 && added.type.key && made.columns.a?.type.key) made.uniques.push(['a', 'added'])
    if (change.number < 5) made.checks.added_check = makeCheck(dialect, 'added', added, change.number)
  },
  type: (schema, name, column, change, dialect) => {
    const made = schema[name], old = made.columns[column], checks = made.checks
    made.columns[column] = { ...makeColumn(dialect, { ...change, notNull: old.notNull, fallback: old.fallback ? change.fallback || 1 : 0 }) }
    made.checks = change.flag ? checks : Object.fromEntries(Object.entries(checks).filter(([, text]) => !new RegExp(`\\b${column}\\b`).test(text)))
    if (made.columns[column].type.key) return
    made.uniques = made.uniques.filter((columns) => !columns.includes(column))
    made.indexes = made.indexes.filter((columns) => !columns.includes(column))
  },
  null: (schema, name, column) => { schema[name].columns[column].notNull = !schema[name].columns[column].notNull },
  default: (schema, name, column, { flag, fallback }) => {
    const one = schema[name].columns[column]
    one.fallback = flag || one.type.noDefault ? null : one.type.values[fallback % one.type.values.length]
  },
  unique: (schema, name, column, { flag }) => {
    const made = schema[name], columns = flag && made.columns.a && column !== 'a' ? ['a', column] : [column]
    if (columns.every((one) => made.columns[one].type.key)) made.uniques.push(columns)
  },
  'drop-unique': (schema, name) => { schema[name].uniques.pop() },
  check: (schema, name, column, { number }, dialect) => { schema[name].checks[`${column}_check`] = makeCheck(dialect, column, schema[name].columns[column], number) },
  'drop-check': (schema, name, column) => { delete schema[name].checks[`${column}_check`] },
  'foreign-key': (schema, name, column, { number, flag }, dialect) => {
    const made = schema[name], parent = Object.keys(schema)[0]
    if (parent === name || schema[parent].primary.join() !== 'id') return
    made.columns[flag ? 'link' : column] = { type: dialect.id, notNull: false, fallback: flag || number > 3 ? null : '1' }
    if (!flag) forget({ ...made, columns: {} }, column)
    made.checks = Object.fromEntries(Object.entries(made.checks).filter(([, text]) => !new RegExp(`\\b${column}\\b`).test(text)))
    made.keys.push({ columns: [flag ? 'link' : column], table: parent, rule: deleteRules[number % 4] })
  },
  'drop-foreign-key': (schema, name) => { schema[name].keys.pop() },
  'delete-rule': (schema, name, _, { number }) => { for (const key of schema[name].keys) key.rule = deleteRules[number % 4] },
  'primary-key': (schema, name, column, { flag }) => {
    const made = schema[name]
    if (Object.values(schema).some((other) => other.keys.some((key) => key.table === name)) || !made.columns[column].type.key) return
    made.primary = flag ? ['id', column] : [column]
    made.columns[column].notNull = true
    if (!flag) made.columns.id.identity = false
  },
  view: (schema, name, column) => { if (!Object.values(schema).some((other) => other.keys.some((key) => key.table === name))) schema[name].view = true },
  'drop-index': (schema, name) => { schema[name].indexes.pop() },
  generated: (schema, name, column, { flag, notNull }, dialect) => {
    const made = schema[name]
    if (flag) made.columns.computed = { type: dialect.computed, notNull, fallback: null, generated: 'id' }
    else if (!made.checks[`${column}_check`] && !made.uniques.some((columns) => columns.includes(column))) {
      made.columns[column] = { type: dialect.computed, notNull: false, fallback: null, generated: 'id' }
      made.indexes = made.indexes.filter((columns) => !columns.includes(column))
    }
  },
  special: (schema, name, column, change, dialect) => { dialect.special?.(schema[name], schema[name].columns[column], change) },
}

export function changed(dialect, schema, changes) {
  const result = structuredClone(schema)

  for (const change of changes) {
    const names = Object.keys(result), name = names[change.table % names.length]
    if (!name || result[name].view) continue
    const columns = Object.keys(result[name].columns).filter((one) => one !== 'id' && one !== 'added')
    const column = columns[change.column % columns.length]
    if (column || ['drop-table', 'rename-table', 'add-table', 'add-column'].includes(change.kind)) changers[change.kind](result, name, column, change, dialect)
  }
  return result
}

/* ---- as statements ---- */

function columnText(dialect, name, { type, notNull, fallback, identity, generated, collation }, alone) {
  if (identity) return dialect.identity(name, alone, identity)
  return `${name} ${type.sql}${collation ? ` COLLATE ${collation}` : ''}${generated ? ` GENERATED ALWAYS AS (${dialect.computation}) STORED` : ''}` +
    `${notNull && !(generated && dialect.noNullOfGenerated) ? ' NOT NULL' : ''}${fallback === null ? '' : ` DEFAULT ${dialect.fallback(type, fallback)}`}`
}

function tableText(dialect, name, made) {
  const alone = made.primary.join() === 'id'
  const parts = Object.entries(made.columns).map(([column, one]) => columnText(dialect, column, one, alone))
  const inline = dialect.inlineKey && alone && made.columns.id.identity

  if (!inline) parts.push(`PRIMARY KEY (${made.primary.join(', ')})`)
  for (const columns of made.uniques) parts.push(`UNIQUE (${columns.join(', ')})`)
  if (made.prefix && made.columns[made.prefix]) parts.push(`UNIQUE (${made.prefix}(2))`)
  for (const [check, text] of Object.entries(made.checks)) parts.push(`CONSTRAINT ${name}_${check} CHECK (${text})`)
  for (const { columns, table: parent, rule } of made.keys) parts.push(`FOREIGN KEY (${columns.join(', ')}) REFERENCES ${parent} (id) ON DELETE ${rule}`)
  const real = made.view ? `${name}_real` : name
  const texts = [`CREATE TABLE ${real} (${parts.join(', ')})${made.strict ? ' STRICT' : ''}${dialect.tableEnd ?? ''}`]
  made.indexes.forEach((columns, i) => texts.push(`CREATE INDEX ${name}_i${i} ON ${real} (${columns.join(', ')})`))
  if (made.view) texts.push(`CREATE VIEW ${name} AS SELECT DISTINCT ${Object.keys(made.columns).join(', ')} FROM ${real}`)
  return texts
}

/* Parents first. */
export const schemaTexts = (dialect, schema) => Object.entries(schema).sort(([, a], [, b]) => a.keys.length - b.keys.length).flatMap(([name, made]) => tableText(dialect, name, made))

const mayBeLeftOut = ({ notNull, fallback, identity, generated }) => !notNull || fallback !== null || identity || generated

/* The statements of code that knows `schema`. */
export function olderCode(dialect, schema) {
  const statements = []
  const names = Object.keys(schema)

  for (const name of names) {
    const { columns, primary, uniques } = schema[name]
    const written = Object.keys(columns).filter((column) => !columns[column].generated)
    const value = (column, i) => (column === 'id' ? `${101 + i}` : column === 'parent' ? `${101 + (i % 3)}` : columns[column].type.values[i % columns[column].type.values.length])
    const insert = (list, i, nulls = []) => `INSERT INTO ${name} (${list.join(', ')}) VALUES (${list.map((column) => (nulls.includes(column) ? 'NULL' : value(column, i))).join(', ')})`
    const nullable = written.filter((column) => !columns[column].notNull)
    const needed = written.filter((column) => !mayBeLeftOut(columns[column]))

    for (let i = 0; i < 6; i++) statements.push(insert(written, i))
    if (nullable.length) statements.push(insert(written, 7, nullable))
    for (const column of nullable) statements.push(insert(written, 8 + nullable.indexOf(column), [column]))
    statements.push(needed.length ? insert(needed, 20) : dialect.insertNothing(name))
    for (const column of written) if (mayBeLeftOut(columns[column])) statements.push(insert(written.filter((one) => one !== column), 30 + written.indexOf(column)))
    for (const column of written.filter((one) => one !== 'id')) {
      const { type } = columns[column]
      for (let i = 0; i < type.values.length; i++) statements.push(`UPDATE ${name} SET ${column} = ${value(column, i)} WHERE id = 101`)
      if (!type.noCompare) statements.push(`UPDATE ${name} SET ${column} = ${value(column, 1)} WHERE ${column} = ${value(column, 0)}`, `SELECT count(*) FROM ${name} WHERE ${column} = ${value(column, 0)} AND id < 0`)
    }
    for (const key of [primary, ...uniques]) statements.push(dialect.upsert(name, key, written, written.map((column) => value(column, 1)), written.map((column) => value(column, 2))))
    statements.push({ name, columns: Object.keys(columns) })
    statements.push(`DELETE FROM ${name} WHERE id = 103`)
  }
  for (const name of names) statements.push({ name, columns: Object.keys(schema[name].columns) }, `DELETE FROM ${name} WHERE id = 101`, `DELETE FROM ${name}`)
  return statements.flat()
}
