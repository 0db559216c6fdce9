/* The three engines that schemas of schema_model.mjs are tried on: their types with values at the limits, how they say things, and how many statements are run at once. */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'

const text = (sql, values, more) => ({ sql, values: values.map((value) => `'${value}'`), text: true, key: true, ...more })
const number = (sql, values, more) => ({ sql, values: values.map(String), number: true, key: true, ...more })
const other = (sql, values, more) => ({ sql, values, key: true, ...more })

/* Statements stand in one line each, so that errors name them by the line: {errors: Map(index -> message), rows: Map(index -> [row])}. */
function runLines(program, argv, before, statements, pattern, options = {}) {
  const lines = statements.map((one, i) => (typeof one === 'string' ? one : `SELECT 'L${i}', ${one.columns.join(', ')} FROM ${one.name} ORDER BY id`))
  const result = spawnSync(program, argv, { input: `${[before, ...lines].join(';\n')};\n`, encoding: 'utf8', timeout: 120000, maxBuffer: 1 << 28, ...options })
  const errors = new Map(), rows = new Map()

  if (result.error) throw result.error
  for (const line of result.stderr.split('\n')) {
    const found = pattern.exec(line)
    if (found) errors.set(Number(found[1]) - 2, errors.get(Number(found[1]) - 2) ?? found[2])
  }
  if (errors.has(-1)) throw new Error(`${program}: ${result.stderr}`)
  if (result.status !== 0 && errors.size === 0) throw new Error(`${program} ended with ${result.status ?? result.signal}: ${result.stderr}`)
  for (const line of result.stdout.split('\n')) {
    const found = /^L(\d+)[|\t](.*)$/.exec(line)
    if (found) rows.set(Number(found[1]), [...rows.get(Number(found[1])) ?? [], found[2]])
  }
  return { errors, rows }
}

const onConflict = (table, key, written, values, others) => {
  const rest = written.filter((column) => !key.includes(column) && column !== 'id')
  return [values, others].map((list) => `INSERT INTO ${table} (${written.join(', ')}) VALUES (${list.join(', ')}) ON CONFLICT (${key.join(', ')}) DO ${rest.length ? `UPDATE SET ${rest.map((column) => `${column} = excluded.${column}`).join(', ')}` : 'NOTHING'}`)
}

export const sqlite = {
  id: number('INTEGER', [1, 2, 3]),
  computed: number('INTEGER', [1]),
  computation: 'id * 2',
  length: 'length',
  inlineKey: true,
  types: [
    number('INTEGER', [0, -5, 42, '9223372036854775807']), number('BIGINT', [1, 7, '-9223372036854775808']), text('TEXT', ['', 'a', '007', 'x'.repeat(40)]), text('VARCHAR(5)', ['a', 'abcde', 'b']),
    text('VARCHAR(20)', ['a', 'abcdefghijklmnopqrst', 'b']), number('REAL', [0, 1.5, -2.25]), number('NUMERIC', [0, 2.5, 3]), number('DECIMAL(10,2)', ['1.25', '99999999.99', 0]), other('BLOB', ["x'00ff'", "x''", "x'61'"]),
    number('BOOLEAN', [0, 1]), text('DATETIME', ['2020-01-01 10:00:00', '2021-02-03 00:00:00'], { text: false }), other('', ["'a'", '1', "x'00'"]),
  ],
  identity: (name, alone) => (alone ? `${name} INTEGER PRIMARY KEY` : `${name} INTEGER`),
  fallback: (type, value) => value,
  insertNothing: (table) => `INSERT INTO ${table} DEFAULT VALUES`,
  upsert: onConflict,
  special: (made, column, { flag }) => {
    if (!flag) column.collation = 'NOCASE'
    else if (Object.values(made.columns).every(({ type }) => ['INTEGER', 'TEXT', 'REAL', 'BLOB'].includes(type.sql))) made.strict = true
  },
}

export const postgres = {
  id: number('integer', [1, 2, 3]),
  computed: number('integer', [1]),
  computation: 'id * 2',
  length: 'length',
  types: [
    number('smallint', [0, -32768, 32767]), number('integer', [1, -2147483648, 2147483647]), number('bigint', [2, '-9223372036854775808', '9223372036854775807']), number('numeric(5,2)', ['0', '-999.99', '999.99', '1.25']),
    number('numeric(7,4)', ['0', '999.9999', '0.0001']), number('numeric(9,2)', ['1', '9999999.99', '0.01']), number('numeric', ['0', '123456789012345678901234567890.5', '0.00000001']), number('real', ['0', '1.5', '1e30']),
    number('double precision', ['0', '1.5', '1e300']), other('boolean', ['true', 'false']), text('text', ['', 'a', 'abc', 'x'.repeat(40)]), text('varchar(5)', ['a', 'abcde', 'b']), text('varchar(20)', ['a', 'abcdefghijklmnopqrst', 'b']),
    text('char(3)', ['a', 'abc', 'xy']), other('date', ["'2020-01-01'", "'0001-01-01'", "'9999-12-31'"]), other('timestamp', ["'2020-01-01 10:00:00.123456'", "'9999-12-31 23:59:59.999999'"]),
    other('timestamptz', ["'2020-01-01 10:00:00+02'", "'2021-06-01 00:00:00+00'"]), other('timestamp(0)', ["'2020-01-01 10:00:00'", "'2021-01-01 00:00:00'"]), other('time', ["'10:00:00'", "'23:59:59.999999'"]),
    other('mood2', ["'a'", "'b'"]), other('mood3', ["'a'", "'b'", "'c'"]), other('uuid', ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]), other('bytea', ["'\\x00ff'", "'\\x'"]),
    other('json', [`'{"a": 1}'`, "'[]'"], { key: false, noCompare: true }), other('jsonb', [`'{"a": 1}'`, "'[]'"]), other('integer[]', ["'{1,2}'", "'{}'"]), other('bigint[]', ["'{1,9223372036854775807}'", "'{}'"]),
  ],
  identity: (name, alone, kind) => `${name} integer GENERATED ${kind === 'always' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY`,
  special: (made, column, { flag }) => {
    if (flag && made.columns.id.identity) made.columns.id.identity = 'always'
    else if (column.type.text) column.collation = '"C.utf8"'
  },
  fallback: (type, value) => value,
  insertNothing: (table) => `INSERT INTO ${table} DEFAULT VALUES`,
  upsert: onConflict,
  prelude: ["CREATE TYPE mood2 AS ENUM ('a', 'b')", "CREATE TYPE mood3 AS ENUM ('a', 'b', 'c')"],
}

export const mariadb = {
  id: number('int', [1, 2, 3]),
  computed: number('int', [1]),
  computation: 'id * 2',
  length: 'char_length',
  noNullOfGenerated: true,
  tableEnd: ' ENGINE=InnoDB',
  types: [
    number('tinyint', [0, -128, 127]), number('smallint', [1, -32768, 32767]), number('int', [2, -2147483648, 2147483647]), number('int unsigned', [0, 4294967295, 7]), number('bigint', [3, '-9223372036854775808', '9223372036854775807']),
    number('bigint unsigned', [0, '18446744073709551615', 1]), number('decimal(5,2)', ['0', '-999.99', '999.99', '1.25']), number('decimal(7,4)', ['0', '999.9999', '0.0001']), number('decimal(9,2)', ['1', '9999999.99', '0.01']),
    number('decimal(6,0)', [0, 999999, -999999]), number('float', ['0', '1.5', '1e30']), number('double', ['0', '1.5', '1e300']), text('varchar(5)', ['a', 'abcde', 'b', 'ä語ß€x']), text('varchar(20)', ['a', 'abcdefghijklmnopqrst', 'b']),
    text('char(3)', ['a', 'abc', 'xy']), text('tinytext', ['a', 'x'.repeat(255)], { key: false }), text('text', ['a', 'x'.repeat(65535)], { key: false }), text('mediumtext', ['a', 'x'.repeat(70000)], { key: false }),
    text('varchar(80)', ['a', '語'.repeat(80)]), other('date', ["'2020-01-01'", "'1000-01-01'", "'9999-12-31'"]), other('datetime', ["'2020-01-01 10:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'"]),
    other('timestamp', ["'2020-01-01 10:00:00'", "'2037-12-31 23:59:59'"]), other('time', ["'10:00:00'", "'-838:59:59'", "'23:59:59'"]), other("enum('a','b')", ["'a'", "'b'"]), other("enum('a','b','c')", ["'a'", "'b'", "'c'"]),
    other("enum('b','a')", ["'b'", "'a'"]), other("set('a','b')", ["'a'", "'a,b'", "''"]), other('varbinary(10)', ["x'00ff'", "x'c328'", "'a'"]), other('blob', ["x'00ff'", "'a'"], { key: false }),
    other('json', [`'{"a": 1}'`, "'[]'"], { key: false }), other('year', ['2020', '1901', '2155']), other('bit(8)', ["b'1'", "b'11111111'"]), other('bit(4)', ["b'1'", "b'1111'"]),
  ],
  identity: (name) => `${name} int NOT NULL AUTO_INCREMENT`,
  fallback: (type, value) => (type.key ? value : `(${value})`),
  insertNothing: (table) => `INSERT INTO ${table} () VALUES ()`,
  special: (made, column, { flag, number }) => {
    if (!column.type.text) return
    if (flag) column.collation = ['utf8mb4_bin', 'latin1_swedish_ci', 'utf8mb4_unicode_ci'][number % 3]
    else made.prefix = Object.entries(made.columns).find(([, one]) => one === column)[0]
  },
  upsert: (table, key, written, values, others) => {
    const rest = written.filter((column) => !key.includes(column) && column !== 'id')
    return [values, others].map((list) => `INSERT INTO ${table} (${written.join(', ')}) VALUES (${list.join(', ')}) ON DUPLICATE KEY UPDATE ${(rest.length ? rest : ['id']).map((column) => `${column} = VALUES(${column})`).join(', ')}`)
  },
}

/* ---- databases: {dialect, component (as in a project file), reset(), run(statements)} ---- */

export function sqliteDatabase(path) {
  return {
    dialect: sqlite,
    component: `{driver: sqlite, path: ${path}, keepAtRecord: false}`,
    reset: () => { for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true }) },
    run: (statements) => runLines('sqlite3', ['-batch', path], 'PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON; PRAGMA user_version = 1', statements, /[Ee]rror.* near line (\d+): (.*)/),
  }
}

export function postgresDatabase({ dir, password }) {
  const run = (statements) => runLines('psql', ['-X', '-q', '-A', '-t', '-h', dir, '-U', 'postgres', '-d', 'postgres', '-f', '-'], "SET client_min_messages = error; SET TimeZone = 'UTC'", statements,
    /^psql:<stdin>:(\d+): ERROR: *(.*)/, { env: { ...process.env, PGPASSWORD: password } })

  return {
    dialect: postgres,
    component: `{driver: postgres, host: ${dir}, database: postgres, user: postgres, password: {env: SCHEMA_PASSWORD}, keepAtRecord: false}`,
    env: { SCHEMA_PASSWORD: password },
    reset: () => { run(['DROP SCHEMA IF EXISTS public CASCADE', 'CREATE SCHEMA public']) },
    run,
  }
}

export function mariadbDatabase({ socket }) {
  const run = (statements) => runLines('mariadb', ['--no-defaults', '-N', '-B', '--force', '--default-character-set=utf8mb4', `--socket=${socket}`, '--user=root'],
    "CREATE DATABASE IF NOT EXISTS app; USE app; SET time_zone = '+00:00'", statements, /^ERROR \d+ \(\w+\) at line (\d+): (.*)/)

  return {
    dialect: mariadb,
    component: `{driver: mysql, socket: ${socket}, database: app, user: root, keepAtRecord: false}`,
    reset: () => { run(['DROP DATABASE app', 'CREATE DATABASE app']) },
    run,
  }
}
