/* /api/health as document S4 describes it, and what orchestrators ask: answered from memory, whatever the dependencies do. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'

import { startServer } from '../support/server.mjs'
import { eventually } from '../support/eventually.mjs'
import { World } from '../world.mjs'

let world, server, redis, stripe

/* An HTTP service that answers 200, answers 500, or takes the question and says nothing. */
class Dependency {
  static async start() {
    const dependency = new Dependency()

    dependency.mode = 'healthy'
    dependency.held = []
    dependency.server = createServer((request, response) => {
      if (dependency.mode === 'hanging') dependency.held.push(response)
      else response.writeHead(dependency.mode === 'healthy' ? 200 : 500).end()
    }).listen(0, '127.0.0.1')
    await once(dependency.server, 'listening')
    dependency.url = `http://127.0.0.1:${dependency.server.address().port}/`
    return dependency
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

async function health(query = '') {
  const response = await fetch(`${server.url}/api/health${query}`)

  return { status: response.status, age: response.headers.get('health-age'), body: await response.json() }
}

before(async () => {
  redis = await Dependency.start()
  stripe = await Dependency.start()
  world = World.bare(`project: app
environments:
  production:
    components:
      db: {driver: sqlite, path: state/app.db}
  staging:
    components:
      db: {driver: sqlite, path: state/app.db}
server:
  dependencies:
    redis: {type: http, url: "${redis.url}", every: 200ms, timeout: 60s}
    stripe: {type: http, url: "${stripe.url}", every: 200ms, timeout: 60s}
`)
  world.sql('CREATE TABLE notes (id INTEGER PRIMARY KEY)')
  redis.mode = 'hanging'
  server = await startServer(world)
})

after(async () => {
  await server?.stop()
  redis?.stop()
  stripe?.stop()
  world?.remove()
})

test('a dependency that hangs from the start is unknown, and keeps nobody waiting', async () => {
  await eventually(() => redis.held.length > 0)
  const first = await health()

  assert.equal(first.status, 503)
  assert.deepEqual(Object.keys(first.body), ['api', 'database', 'redis', 'stripe', 'timestamp', 'deployment_id'])
  assert.equal(first.body.api, 'healthy')
  assert.equal(first.body.database, 'healthy')
  assert.equal(first.body.redis, 'unknown')
  assert.ok(Math.abs(Date.parse(first.body.timestamp) - Date.now()) < 60_000)
  assert.equal(typeof first.body.deployment_id, 'string')
  await eventually(async () => (await health()).body.stripe === 'healthy')
  assert.equal((await health()).body.redis, 'unknown', 'it still hangs: the answers did not wait for it')
})

test('all healthy is 200, one that is not is 503', async () => {
  redis.mode = 'healthy'
  redis.held.splice(0).forEach((response) => response.end())
  await eventually(async () => (await health()).status === 200)
  assert.match((await health()).age, /^api=0, database=\d+, redis=\d+, stripe=\d+$/)
  stripe.mode = 'failing'
  await eventually(async () => (await health()).body.stripe === 'unhealthy')
  const failing = await health()

  assert.equal(failing.status, 503)
  assert.equal(failing.body.redis, 'healthy')
  stripe.mode = 'healthy'
  await eventually(async () => (await health()).status === 200)
})

test('it tells the present deployment', async () => {
  assert.equal((await health()).body.deployment_id, '')
  const { id } = world.json(['record', 'production', '--version', '1.0.0'])

  await eventually(async () => (await health()).body.deployment_id === id)
  assert.equal((await health('?environment=production')).body.deployment_id, id)
  assert.equal((await health('?environment=staging')).body.deployment_id, '')
  assert.equal((await health('?environment=nowhere')).status, 404)
})

test('it needs no credential, and is not to be kept', async () => {
  const response = await fetch(`${server.url}/api/health`)

  assert.equal(response.headers.get('cache-control'), 'no-store')
  assert.equal(response.headers.get('content-type'), 'application/json')
})

test('livez, healthz and readyz', async () => {
  for (const path of ['/livez', '/healthz', '/readyz'])
    assert.equal((await fetch(server.url + path)).status, 200, path)
  stripe.mode = 'failing'
  await eventually(async () => (await health()).body.stripe === 'unhealthy')
  const ready = await fetch(`${server.url}/readyz?verbose`), text = await ready.text()

  assert.equal(ready.status, 200, 'a dependency that fails is no reason to take away what could roll back')
  assert.match(text, /^\[\+\] database healthy$/m)
  assert.match(text, /^\[-\] stripe unhealthy \(not needed to be ready\)$/m)
  assert.match(await (await fetch(`${server.url}/livez?verbose`)).text(), /unship \d/)
})
