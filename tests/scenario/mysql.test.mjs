/* A release changed a MariaDB database; it is taken back with its data, what is lost is said, and the way back is open. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startMariadb } from '../support/mariadb.mjs'
import { World } from '../world.mjs'

describe('a MariaDB database', () => {
  let server, world, first, second, done

  const shop = (statements) => server.sql(statements, 'shop')
  const orders = () => shop("SELECT group_concat(concat(id, ':', item) ORDER BY id) FROM orders")
  const columns = () => shop("SELECT group_concat(COLUMN_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'orders'")

  before(async () => {
    server = await startMariadb()
    world = World.bare(`project: shop
environments:
  production:
    components:
      db: {driver: mysql, socket: ${server.socket}, database: shop, user: keeper, password: {file: password}}
      flags: {driver: flags}
`)
    writeFileSync(join(world.app, 'password'), 'the secret\n')
    server.sql(`CREATE DATABASE shop; CREATE USER keeper@localhost IDENTIFIED BY 'the secret';
      GRANT ALL ON shop.* TO keeper@localhost; GRANT ALL ON \`shop\\_unship\\_%\`.* TO keeper@localhost; GRANT SET USER ON *.* TO keeper@localhost;`)
    shop(`CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(30)); INSERT INTO customers VALUES (1, 'ana'), (2, 'bo');
      CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT, item VARCHAR(30), FOREIGN KEY (customer) REFERENCES customers (id));
      INSERT INTO orders VALUES (1, 1, 'chair'), (2, 2, 'table');
      CREATE VIEW latest AS SELECT max(id) AS id FROM orders`)
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    shop(`ALTER TABLE orders ADD COLUMN price DECIMAL(8,2) NOT NULL DEFAULT 1; INSERT INTO orders VALUES (3, 1, 'lamp', 9.5); UPDATE orders SET item = 'stool' WHERE id = 1;
      DROP VIEW latest`)
    second = world.json(['record', 'production', '--version', '2.0.0'])
  })
  after(async () => {
    world?.remove()
    await server?.stop()
  })

  it('is part of what is recorded: schema, kind and version of the server', () => {
    const { details } = world.json(['deployments', 'show', second.id]).components.db

    assert.equal(details.engine, 'mysql')
    assert.match(details.engineVersion, /^\d+\.\d+/)
    assert.equal(details.schema.tables.orders.columns.price.type, 'decimal(8,2)')
    assert.deepEqual(details.schema.tables.orders.foreignKeys, [{ columns: ['customer'], table: 'customers', references: ['id'], onDelete: 'RESTRICT' }])
  })

  it('stays as it is when the data is preserved', () => {
    const before = orders()

    world.json(['rollback', 'production', '--to', first.id, '--reason', 'errors since 2.0.0', '--yes', '--force'])
    assert.equal(orders(), before)
  })

  it('goes back as a whole with --no-preserve-data', () => {
    shop("INSERT INTO orders VALUES (4, 2, 'sofa', 3)")
    done = world.json(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'orders are wrong', '--yes', '--force'])
    assert.equal(done.success, true)
    assert.equal(orders(), '1:chair,2:table')
    assert.equal(columns(), 'id,customer,item')
    assert.equal(shop('SELECT id FROM latest'), '2')
    assert.equal(server.sql("SHOW DATABASES LIKE 'shop%'"), 'shop')
  })

  it('comes back with undo', () => {
    world.json(['undo', done.rollbackId, '--reason', 'the orders were right', '--yes'])
    assert.equal(orders(), '1:stool,2:table,3:lamp,4:sofa')
    assert.equal(columns(), 'id,customer,item,price')
    assert.equal(server.sql("SHOW DATABASES LIKE 'shop%'"), 'shop')
  })

  it('gives single tables back, and leaves the others', () => {
    const plan = world.writePlan('orders.json', {
      id: 'orders', name: 'Orders as they were', steps: [{ id: 'orders', type: 'data', parameters: { database: 'db', tables: { orders: first.id } }, timeout: 60 }],
    })

    shop("UPDATE customers SET name = 'changed'")
    world.json(['rollback', 'production', '--plan', plan, '--reason', 'orders only', '--yes'])
    assert.equal(orders(), '1:chair,2:table')
    assert.equal(columns(), 'id,customer,item,price')
    assert.equal(shop('SELECT DISTINCT name FROM customers'), 'changed')
  })

  it('shows nobody the password', () => {
    const text = [JSON.stringify(world.json(['audit', 'search', '--limit', '1000'])), world.run(['rollback', 'production', '--dry-run', '--json']).out, readFileSync(join(world.app, 'unship.yaml'), 'utf8')].join()

    assert.ok(!text.includes('the secret'))
  })

  it('is not touched when the server lets nobody in', () => {
    server.sql("ALTER USER keeper@localhost IDENTIFIED BY 'another'")
    const result = world.run(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--reason', 'again', '--yes', '--json'])

    assert.notEqual(result.code, 0)
    assert.match(result.out + result.err, /Access denied/)
    assert.equal(orders(), '1:chair,2:table')
  })
})
