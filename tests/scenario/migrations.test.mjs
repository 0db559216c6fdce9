/* A rollback takes the schema back as well, with the tool that made it (docs/migrations.md): what is shown before, what happens, what is refused, and how it is undone. The application is a service on an SQLite database whose
 * migrations are dbmate's and stand in each release. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { World, withFailpoints } from '../world.mjs'

const dbmate = join(resolve(dirname(fileURLToPath(import.meta.url)), '../..'), 'node_modules/.bin/dbmate')

/* A commit with the next version of the service and one more migration. */
function release(world, version, { name, up, down }) {
  const service = join(world.app, 'service.py')

  mkdirSync(join(world.app, 'db'), { recursive: true })
  writeFileSync(join(world.app, 'db', name), `-- migrate:up\n${up}\n-- migrate:down\n${down}\n`)
  writeFileSync(service, readFileSync(service, 'utf8').replace(/^VERSION = .*$/m, `VERSION = "${version}"`))
  world.git('add', 'db', 'service.py')
  world.git('commit', '-q', '-m', `Release ${version}`)
  world.git('tag', '-a', `v${version}`, '-m', `Release ${version}`)
}

/* What a deployment does: the new code, its migrations, and the record of it. */
function deploy(world, version, options) {
  world.deploy(version, { record: false })
  const result = spawnSync(dbmate, ['--url', `sqlite:${join(world.app, 'state/app.db')}`, '-d', join(world.app, 'deploy/current/db'), '--no-dump-schema', 'up'], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stderr)
  return world.json(['record', 'production', '--version', version, ...(options?.status ? ['--status', options.status] : [])])
}

async function makeWorld(settings = '') {
  const world = await World.make({ versions: { '0.9.0': {} }, config: false })
  const file = join(world.app, 'unship.yaml')

  writeFileSync(file, readFileSync(file, 'utf8').replace('path: state/app.db}', `path: state/app.db, migrations: {tool: dbmate, dir: deploy/current/db, program: [${dbmate}]${settings}}}`))
  release(world, '1.0.0', { name: '20260101_customers.sql', up: 'CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);', down: 'DROP TABLE customers;' })
  release(world, '2.0.0', { name: '20260201_full_name.sql', up: 'ALTER TABLE customers RENAME COLUMN name TO full_name;', down: 'ALTER TABLE customers RENAME COLUMN full_name TO name;' })
  release(world, '3.0.0', { name: '20260301_phone.sql', up: 'ALTER TABLE customers ADD COLUMN phone TEXT;', down: 'ALTER TABLE customers DROP COLUMN phone;' })
  return world
}

const columns = (world) => world.sql("SELECT group_concat(name) FROM pragma_table_info('customers')")
const applied = (world) => world.sql('SELECT group_concat(version) FROM schema_migrations')
const finding = (answer, name, component = 'db') => answer.findings.find((one) => one.name === name && one.component === component)

describe('a rollback over migrations', () => {
  let world, first, done

  before(async () => {
    world = await makeWorld()
    first = deploy(world, '1.0.0', { status: 'passing' })
    world.sql("INSERT INTO customers VALUES (1, 'Ada')")
    deploy(world, '2.0.0')
    deploy(world, '3.0.0')
    world.sql("INSERT INTO customers VALUES (2, 'Bo', '555')")
  })
  after(() => world.remove())

  it('keeps the scripts with each deployment', () => {
    const { deployments } = world.json(['deployments', 'production'])
    const db = world.json(['deployments', 'show', deployments[0].id]).components.db

    assert.equal(db.details.migration, '20260301')
    assert.deepEqual(db.details.migrations, ['20260101', '20260201', '20260301'])
    assert.deepEqual(Object.keys(db.details.downMigrations), ['20260101', '20260201', '20260301'])
  })

  it('shows what goes back, what is lost, and who is stopped meanwhile', () => {
    const answer = world.json(['rollback', 'production', '--to', first.id, '--dry-run'])
    const ids = answer.plan.steps.map((step) => step.id), step = answer.plan.steps.find(({ id }) => id === 'migrate-db')

    assert.equal(step.parameters.migrateTo, '20260101')
    assert.deepEqual(Object.keys(step.parameters.downMigrations).sort(), ['20260201', '20260301'])
    assert.ok(ids.indexOf('stop-api') < ids.indexOf('release-code') && ids.indexOf('release-code') < ids.indexOf('migrate-db') && ids.indexOf('migrate-db') < ids.indexOf('start-api'), ids.join())
    const { message, severity, passed } = finding(answer, 'migration_reversible')
    assert.equal(passed, false)
    assert.equal(severity, 'warning')
    assert.match(message, /goes back by 2 migrations \(20260301, 20260201\) to 20260101; .*lost/)
    assert.equal(finding(answer, 'migration_fenced').passed, true)
    assert.equal(finding(answer, 'schema_compatibility'), undefined)
  })

  it('takes the schema back and keeps the rows', async () => {
    done = world.json(['rollback', 'production', '--to', first.id, '--reason', 'wrong names', '--yes'])
    assert.equal(done.success, true)
    assert.equal(applied(world), '20260101')
    assert.equal(columns(world), 'id,name')
    assert.equal(world.sql('SELECT group_concat(name) FROM customers'), 'Ada,Bo')
    assert.ok(!existsSync(join(world.app, 'deploy/current/db/20260301_phone.sql')), 'the code went back, and the scripts with it')
  })

  it('keeps what the tool said', () => {
    const step = world.json(['status', done.rollbackId]).run.steps.find(({ stepId }) => stepId === 'migrate-db')

    assert.deepEqual(step.outputs.takenBack, ['20260301', '20260201'])
    assert.ok(step.logs.some(({ message }) => message.startsWith('Rolled back: 20260301_phone.sql')))
  })

  it('is undone by the copy that was taken before it, lost columns included', () => {
    assert.equal(world.json(['undo', done.rollbackId, '--yes', '--force']).status, 'completed')
    assert.equal(applied(world), '20260101,20260201,20260301')
    assert.equal(world.sql('SELECT phone FROM customers WHERE id = 2'), '555')
  })

  it('is taken up where it was killed', () => {
    for (const point of ['migration.begun:2', 'migration.went_back']) {
      const killed = world.run(['rollback', 'production', '--to', first.id, '--reason', 'again', '--yes'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: point } })

      assert.ok(killed.signal === 'SIGKILL' || killed.code === 137, killed.err)
      const [{ id }] = world.json(['runs', '--limit', '1']).runs
      assert.equal(world.run(['resume', id]).code, 0)
      assert.equal(world.json(['status', id]).status, 'completed')
      assert.equal(columns(world), 'id,name')
      assert.equal(world.json(['undo', id, '--yes', '--force']).status, 'completed')
    }
  })

  it('stays where the older code can work on the newer schema', () => {
    const second = world.json(['deployments', 'production']).deployments.find(({ version }) => version === '2.0.0')
    const answer = world.json(['rollback', 'production', '--to', second.id, '--dry-run', '--force'])

    assert.ok(!answer.plan.steps.some(({ id }) => id === 'migrate-db'), 'a new column that may be empty is no reason')
    assert.match(answer.notReverted.join('\n'), /db: its data is preserved and stays/)
  })
})

describe('a migration that has no way back', () => {
  let world, first

  before(async () => {
    world = await makeWorld()
    first = deploy(world, '1.0.0', { status: 'passing' })
    release(world, '4.0.0', { name: '20260401_drop.sql', up: 'ALTER TABLE customers DROP COLUMN full_name;', down: '-- irreversible: the names are gone' })
    deploy(world, '4.0.0')
  })
  after(() => world.remove())

  it('is found before anything starts', async () => {
    const before = await world.reality()
    const result = world.run(['rollback', 'production', '--to', first.id, '--reason', 'names', '--yes'])

    assert.equal(result.code, 3, result.out + result.err)
    assert.match(result.out + result.err, /migration 20260401 cannot go backwards/)
    assert.deepEqual(await world.reality(), before)
    assert.equal(applied(world), '20260101,20260201,20260301,20260401')
  })

  it('does not stand in the way of the copy that was kept: the data goes back whole', () => {
    world.json(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'names', '--yes'])
    assert.equal(columns(world), 'id,name')
    assert.equal(applied(world), '20260101')
  })
})

describe('a target that had no database yet', () => {
  it('had an empty schema: the first migration goes back as well, when it is asked for', async () => {
    const world = await makeWorld(', back: always')

    try {
      world.deploy('0.9.0', { record: false })
      rmSync(join(world.app, 'state/app.db'), { force: true })
      const first = world.json(['record', 'production', '--version', '0.9.0', '--status', 'passing'])
      deploy(world, '1.0.0')
      const answer = world.json(['rollback', 'production', '--to', first.id, '--dry-run'])
      assert.equal(answer.plan.steps.find(({ id }) => id === 'migrate-db').parameters.migrateTo, '')
      assert.equal(finding(answer, 'schema_known'), undefined)
      world.json(['rollback', 'production', '--to', first.id, '--reason', 'not yet', '--yes'])
      assert.equal(world.sql("SELECT count(*) FROM sqlite_master WHERE name = 'customers'"), '0')
    } finally {
      world.remove()
    }
  })
})

describe('migrations.back', () => {
  it('never: the schema stays, and the older code is refused', async () => {
    const world = await makeWorld(', back: never')

    try {
      const first = deploy(world, '1.0.0', { status: 'passing' })
      deploy(world, '3.0.0')
      const answer = world.json(['rollback', 'production', '--to', first.id, '--dry-run'], { codes: [0, 3] })
      assert.ok(!answer.plan.steps.some(({ id }) => id === 'migrate-db'))
      assert.equal(finding(answer, 'schema_compatibility').severity, 'error')
    } finally {
      world.remove()
    }
  })

  it('always: also what the older code could live with goes back', async () => {
    const world = await makeWorld(', back: always')

    try {
      const second = deploy(world, '2.0.0', { status: 'passing' })
      deploy(world, '3.0.0')
      world.json(['rollback', 'production', '--to', second.id, '--reason', 'all of it', '--yes'])
      assert.equal(columns(world), 'id,full_name')
    } finally {
      world.remove()
    }
  })
})
