/* Rehearsals with databases on servers: the copy stands beside the real database, is taken back and removed, and the real one is only read. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startMariadb } from '../support/mariadb.mjs'
import { Postgres } from '../support/postgres.mjs'
import { startRedis } from '../support/redis.mjs'
import { World, withFailpoints } from '../world.mjs'

const project = (component) => `project: shop
environments:
  production:
    components:
      db: ${component}
`

/* {sql(statements), databases(), component, env, filling, changed, stop()}: a server with an empty database `shop`. filling: a point at which the copy stands half-done. */
const servers = {
  async postgres() {
    const server = await Postgres.start()

    server.sql('postgres', 'CREATE DATABASE shop')
    return {
      sql: (statements) => server.sql('shop', statements),
      databases: () => server.sql('postgres', "SELECT string_agg(datname, ',' ORDER BY 1) FROM pg_database WHERE datname LIKE '%shop%'"),
      component: '{driver: postgres, dsn: {env: DATABASE_URL}}',
      env: { DATABASE_URL: server.address('shop') },
      filling: 'postgres.database_made',
      changed: 2, // a column that is new changes every row
      stop: () => server.stop(),
    }
  },
  async mysql() {
    const server = await startMariadb()

    server.sql(`CREATE DATABASE shop; CREATE USER keeper@localhost IDENTIFIED BY 'the secret';
      GRANT ALL ON shop.* TO keeper@localhost; GRANT ALL ON \`shop\\_%\`.* TO keeper@localhost; GRANT SET USER ON *.* TO keeper@localhost`)
    return {
      sql: (statements) => server.sql(statements, 'shop'),
      databases: () => server.sql("SELECT group_concat(SCHEMA_NAME ORDER BY 1) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%shop%'"),
      component: `{driver: mysql, socket: ${server.socket}, database: shop, user: keeper, password: {file: password}}`,
      env: {},
      filling: 'mysql.ready',
      changed: 1, // rows are compared by the columns that both have
      stop: () => server.stop(),
    }
  },
}

for (const [driver, start] of Object.entries(servers))
  describe(`a rehearsal with a database of ${driver}`, () => {
    let server, world, seen

    const ask = (argv, options = {}) => world.json(argv, { ...options, env: { ...server.env, ...options.env } })
    const look = () => [server.databases(), server.sql('SELECT count(*), max(item), sum(price) FROM orders'), server.sql('SELECT count(*) FROM latest')]
    const die = (argv, point) => assert.equal(world.run(argv, { program: withFailpoints, env: { ...server.env, UNSHIP_FAILPOINT: point } }).signal, 'SIGKILL', `${argv[0]} passes ${point}`)

    before(async () => {
      server = await start()
      world = World.bare(project(server.component))
      writeFileSync(join(world.app, 'password'), 'the secret\n')
      server.sql(`CREATE TABLE orders (id INT PRIMARY KEY, item VARCHAR(30)); INSERT INTO orders VALUES (1, 'chair'), (2, 'table');
        CREATE VIEW latest AS SELECT max(id) AS id FROM orders`)
      ask(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
      server.sql(`ALTER TABLE orders ADD COLUMN price INT NOT NULL DEFAULT 1; UPDATE orders SET item = 'stool' WHERE id = 1`)
      ask(['record', 'production', '--version', '2.0.0', '--allow-unreachable'])
      server.sql(`INSERT INTO orders VALUES (3, 'lamp', 7)`)
      seen = look()
      assert.equal(seen[0], 'shop')
    })
    after(async () => {
      world?.remove()
      await server?.stop()
    })

    it('goes back with the data in the copy, and counts what that would cost', () => {
      const drill = ask(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'])

      assert.equal(drill.success, true)
      assert.deepEqual([drill.rehearsed, drill.leftOut], [['db'], []])
      assert.equal(drill.rollback.status, 'completed')
      assert.equal(drill.undo.status, 'completed')
      const [lost] = Object.values(drill.data.lost)
      assert.deepEqual([lost.added, lost.changed, lost.removed], [1, server.changed, 0])
      assert.deepEqual(look(), seen)
    })

    it('that was killed leaves its copy, which the next one, or `drill clean`, removes', () => {
      die(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'], 'drill.copied')
      assert.match(server.databases(), /shop_drl_/)
      die(['drill', 'clean'], 'drill.ended')
      assert.equal(ask(['drill', 'clean']).cleaned.length, 1)
      assert.deepEqual(look(), seen)

      die(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'], 'drill.rolled_back')
      assert.equal(ask(['drill', 'production', '--to', '1.0.0', '--no-preserve-data']).success, true)
      assert.deepEqual(look(), seen)
      assert.deepEqual(ask(['drill', 'list']).drills.map(({ success }) => success), [true, false, false, true])
    })

    it('that was killed while its database was being filled leaves nothing either', () => {
      die(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'], server.filling)
      ask(['drill', 'clean'])
      assert.deepEqual(look(), seen)
    })

    it('does not touch a copy that somebody else made', () => {
      const aside = server.component.replace(/\}$/, ', sandbox: {database: shop_practice}}').replace('{file: password}}, sandbox', '{file: password}, sandbox')

      server.sql('CREATE DATABASE shop_practice')
      writeFileSync(join(world.app, 'unship.yaml'), project(aside))
      const { leftOut } = ask(['drill', 'production', '--to', '1.0.0', '--no-preserve-data'], { codes: [0, 1] })

      assert.deepEqual(leftOut, [])
      assert.equal(server.databases(), 'shop,shop_practice')
      assert.deepEqual(look().slice(1), seen.slice(1))
      writeFileSync(join(world.app, 'unship.yaml'), project(server.component))
    })
  })

describe('a MariaDB database whose programs name a database', () => {
  let server, world

  before(async () => {
    server = await servers.mysql()
    world = World.bare(`${project(server.component)}      flags: {driver: flags}\n`)
    writeFileSync(join(world.app, 'password'), 'the secret\n')
    world.json(['flags', 'production', 'set', 'f', 'on'])
    server.sql(`CREATE TABLE orders (id INT PRIMARY KEY); CREATE TABLE log (id INT);
      CREATE TRIGGER told AFTER INSERT ON orders FOR EACH ROW INSERT INTO shop.log VALUES (NEW.id)`)
    world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.json(['flags', 'production', 'set', 'f', 'off'])
    world.json(['record', 'production', '--version', '2.0.0'])
  })
  after(async () => {
    world?.remove()
    await server?.stop()
  })

  it('is left out: the copy would work on the real one', () => {
    const drill = world.json(['drill', 'production', '--to', '1.0.0'])

    assert.deepEqual(drill.rehearsed, ['flags'])
    assert.equal(drill.leftOut[0].component, 'db')
    assert.match(drill.leftOut[0].why, /trigger 'told' names the database 'shop'/)
    assert.equal(server.databases(), 'shop')
  })
})

describe('a Redis database', () => {
  it('is left out, until the component says where a copy stands', async () => {
    const server = await startRedis(), world = World.bare(`project: shop
environments:
  production:
    components:
      cache: {driver: redis, socket: ${server.socket}}
      flags: {driver: flags}
`)

    try {
      world.json(['flags', 'production', 'set', 'f', 'on'])
      world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
      world.json(['flags', 'production', 'set', 'f', 'off'])
      world.json(['record', 'production', '--version', '2.0.0'])
      const [{ component, why }] = world.json(['drill', 'production', '--to', '1.0.0']).leftOut
      assert.equal(component, 'cache')
      assert.match(why, /the driver 'redis' makes no copy/)

      const path = join(world.app, 'unship.yaml')
      writeFileSync(path, readFileSync(path, 'utf8').replace(`socket: ${server.socket}}`, `socket: ${server.socket}, sandbox: {database: 5}}`))
      const drill = world.json(['drill', 'production', '--to', '1.0.0'])
      assert.deepEqual([drill.rehearsed, drill.leftOut], [['cache', 'flags'], []])
    } finally {
      world.remove()
      await server.stop()
    }
  })
})
