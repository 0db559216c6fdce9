/* A whole PostgreSQL cluster goes back to a moment with the real pgBackRest, as a step of a plan (docs/examples/postgres-to-moment): before the bad statement, again after a kill, and forwards again by undo. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Postgres } from '../support/postgres.mjs'
import { World, source } from '../world.mjs'

describe('a PostgreSQL cluster with pgBackRest', () => {
  let server, world, moment, run

  const rows = () => server.sql('shop', "SELECT string_agg(item, ',' ORDER BY id) FROM orders")
  const program = (verb) => [...server.as.filter((word) => !word.startsWith('--pdeathsig')), join(source, '../docs/examples/postgres-to-moment'), verb, 'main', join(server.dir, 'data'), moment]
  const variables = () => ({ PGBACKREST_CONFIG: join(server.dir, 'pgbackrest.conf'), PG_BIN: server.bin })
  const must = (argv) => {
    const result = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', cwd: server.dir, env: { PATH: process.env.PATH, ...variables() } })

    assert.equal(result.status, 0, `${argv.join(' ')}: ${result.stdout}${result.stderr}`)
  }
  const backrest = (...argv) => must([...server.as, 'pgbackrest', '--stanza=main', ...argv])

  before(async () => {
    server = await Postgres.start({
      files: (dir) => ({
        'pgbackrest.conf': `[main]\npg1-path=${dir}/data\npg1-socket-path=${dir}\npg1-user=postgres\n[global]\nrepo1-path=${dir}/repo\nlog-path=${dir}/work\nlock-path=${dir}/work\nspool-path=${dir}/work\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n`,
        'data/postgresql.auto.conf': `unix_socket_directories = '${dir}'\nlisten_addresses = ''\nfsync = off\narchive_mode = on\narchive_command = 'pgbackrest --config=${dir}/pgbackrest.conf --stanza=main archive-push %p'\n`,
        'data/pg_hba.conf': 'local all all trust\n',
        'repo/.made': '', 'work/.made': '',
      }),
    })
    backrest('stanza-create')
    server.sql('postgres', 'CREATE DATABASE shop')
    server.sql('shop', "CREATE TABLE orders (id serial PRIMARY KEY, item text); INSERT INTO orders (item) VALUES ('chair'), ('table')")
    backrest('backup', '--type=full')
    server.sql('shop', "INSERT INTO orders (item) VALUES ('lamp'); SELECT pg_sleep(1.1)") // pgBackRest knows the end of a backup to the second
    moment = server.sql('shop', 'SELECT clock_timestamp()')
    server.sql('shop', "DELETE FROM orders WHERE item <> 'lamp'; INSERT INTO orders (item) VALUES ('late')")
    world = World.bare('project: shop\nenvironments:\n  production:\n    components:\n      flags: {driver: flags}\n')
    world.writePlan('plan.json', {
      id: 'to-moment', name: 'To the moment',
      steps: [{ id: 'to-moment', type: 'command', parameters: { argv: program('go'), check: program('check'), undo: program('undo'), env: variables() }, timeout: 120 }],
    })
  })
  after(async () => {
    world?.remove()
    await server?.stop()
  })

  it('goes back to it', () => {
    run = world.json(['rollback', 'production', '--plan', join(world.dir, 'plan.json'), '--reason', 'a DELETE without its condition', '--yes'])
    assert.equal(rows(), 'chair,table,lamp')
    assert.equal(server.sql('shop', 'SELECT pg_is_in_recovery()'), 'f')
  })

  it('does nothing when it is there already', () => {
    server.sql('shop', "INSERT INTO orders (item) VALUES ('after')")
    must(program('go'))
    assert.equal(rows(), 'chair,table,lamp,after')
  })

  it('is gone on with after it was killed in the middle', () => {
    must(['sed', '-i', '1s/done/begun/', join(server.dir, 'data.unship-moment')])
    must([...server.as, join(server.bin, 'pg_ctl'), '-D', join(server.dir, 'data'), '-m', 'immediate', 'stop'])
    must(['rm', '-r', join(server.dir, 'data/base')])
    assert.equal(spawnSync(program('check')[0], program('check').slice(1), { env: { PATH: process.env.PATH, ...variables() } }).status, 1)
    must(program('go'))
    assert.equal(rows(), 'chair,table,lamp')
  })

  it('leads forwards again by undo', () => {
    world.json(['undo', run.rollbackId, '--reason', 'the late order is needed', '--yes'])
    assert.equal(rows(), 'lamp,late')
  })
})
