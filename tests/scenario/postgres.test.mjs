/* A release migrated a PostgreSQL database and people wrote with it; it is taken back with its data, what is lost is said and kept, and the way back is open. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Postgres } from '../support/postgres.mjs'
import { World } from '../world.mjs'

for (const restore of ['transaction', 'switch'])
  describe(`a PostgreSQL database (restore: ${restore})`, () => {
    let server, world, first, second, done

    const env = () => ({ DATABASE_URL: server.address('shop') })
    const shop = (statements) => server.sql('shop', statements)
    const orders = () => shop("SELECT string_agg(concat(id, ':', item), ',' ORDER BY id) FROM orders")
    const columns = () => shop("SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0 AND NOT attisdropped")
    const databases = () => server.sql('postgres', "SELECT string_agg(datname, ',' ORDER BY 1) FROM pg_database WHERE datname LIKE 'shop%'")
    const ask = (argv) => world.json(argv, { env: env() })

    before(async () => {
      server = await Postgres.start()
      world = World.bare(`project: shop
environments:
  production:
    components:
      db: {driver: postgres, dsn: {env: DATABASE_URL}, restore: ${restore}}
      flags: {driver: flags}
`)
      server.sql('postgres', 'CREATE DATABASE shop')
      shop(`CREATE TABLE schema_migrations (version varchar PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20260101');
        CREATE TABLE customers (id int PRIMARY KEY, name text); INSERT INTO customers VALUES (1, 'ana'), (2, 'bo');
        CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers (id), item text);
        INSERT INTO orders (customer, item) VALUES (1, 'chair'), (2, 'table')`)
      first = ask(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
      shop(`ALTER TABLE orders ADD COLUMN price numeric(20, 2) NOT NULL DEFAULT 1; INSERT INTO schema_migrations VALUES ('20260201');
        INSERT INTO orders (customer, item, price) VALUES (1, 'lamp', 9.5); UPDATE orders SET item = 'stool' WHERE id = 1`)
      second = ask(['record', 'production', '--version', '2.0.0'])
    })
    after(async () => {
      world?.remove()
      await server?.stop()
    })

    it('is part of what is recorded: schema, migration, kind and version of the server', () => {
      const { version, details } = ask(['deployments', 'show', second.id]).components.db

      assert.match(version, /^m20260201-[0-9a-f]{8}$/)
      assert.equal(details.engine, 'postgres')
      assert.equal(details.schema.tables.orders.columns.price.type, 'numeric(20,2)')
      assert.equal(details.rowCounts.orders, 3)
    })

    it('stays as it is when the data is preserved', () => {
      ask(['rollback', 'production', '--to', first.id, '--reason', 'errors since 2.0.0', '--yes', '--force'])
      assert.equal(orders(), '1:stool,2:table,3:lamp')
    })

    it('goes back as a whole with --no-preserve-data', () => {
      shop("INSERT INTO orders (customer, item, price) VALUES (2, 'sofa', 123456789012345678.25)")
      done = ask(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'orders are wrong', '--yes', '--force'])
      assert.equal(done.success, true)
      assert.equal(orders(), '1:chair,2:table')
      assert.equal(columns(), 'id,customer,item')
      assert.equal(shop('SELECT max(version) FROM schema_migrations'), '20260101')
      assert.equal(databases(), 'shop')
      assert.equal(shop("INSERT INTO orders (customer, item) VALUES (1, 'next') RETURNING id"), '3')
      shop('DELETE FROM orders WHERE id = 3')
    })

    it('keeps what it took away, row by row', () => {
      const folder = join(world.dir, 'lost')

      ask(['snapshots', 'export', `${done.rollbackId}-ledger`, folder])
      const ledger = readdirSync(folder, { recursive: true }).find((path) => path.endsWith('ledger.json'))
      const { since, tables } = JSON.parse(readFileSync(join(folder, ledger), 'utf8'))

      assert.match(since, /^\d{4}-\d\d-\d\dT/)
      assert.deepEqual(tables.orders, { added: 2, changed: 2, removed: 0 })
      const lines = readFileSync(join(folder, ledger, '../orders.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line))

      assert.deepEqual(lines.find(({ row }) => row.item === 'sofa'), { change: 'added', row: { id: 4, customer: 2, item: 'sofa', price: '123456789012345678.25' } })
    })

    it('comes back with undo', () => {
      ask(['undo', done.rollbackId, '--reason', 'the orders were right', '--yes'])
      assert.equal(orders(), '1:stool,2:table,3:lamp,4:sofa')
      assert.equal(columns(), 'id,customer,item,price')
      assert.equal(databases(), 'shop')
    })

    it('gives single tables back, and leaves the others', () => {
      const plan = world.writePlan('orders.json', {
        id: 'orders', name: 'Orders as they were', steps: [{ id: 'orders', type: 'data', parameters: { database: 'db', tables: { orders: first.id } }, timeout: 60 }],
      })

      shop("UPDATE customers SET name = 'changed'")
      ask(['rollback', 'production', '--plan', plan, '--reason', 'orders only', '--yes'])
      assert.equal(orders(), '1:chair,2:table')
      assert.equal(columns(), 'id,customer,item,price')
      assert.equal(shop("SELECT string_agg(name, ',') FROM customers"), 'changed,changed')
    })

    it('never shows the password', () => {
      const { err, out } = world.run(['rollback', 'production', '--dry-run', '--to', first.id, '--json'], { env: { DATABASE_URL: server.address('shop').replace(server.password, 'not the secret') } })

      assert.doesNotMatch(out + err, /not the secret/)
      assert.match(out + err, /password authentication failed/)
    })
  })
