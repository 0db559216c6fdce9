/* Live events: the journal over HTTP, as it grows; filtered, resumed, never twice and nothing missed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'

import { EventStream } from '../support/events.mjs'
import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

let world, server

const project = `project: app
environments:
  production:
    components:
      flags: {driver: flags}
  staging:
    components:
      flags: {driver: flags}
`

function open(options = {}, query = '') {
  return EventStream.open(`${server.url}/api/v1/events${query}`, { token: server.token, ...options })
}

/* Appends one entry by the command line, beside the server. */
let changes = 0
function change(environment = 'production') {
  return world.json(['flags', environment, 'set', 'counter', `v${++changes}`, '--new-variant', '--reason', 'test'])
}

/* All entries, oldest first, as the command line tells them. */
function journal() {
  return world.json(['audit', 'search', '--limit', '100000']).entries.toSorted((a, b) => a.seq - b.seq)
}

before(async () => {
  world = World.bare(project)
  server = await startServer(world)
})

after(async () => {
  await server?.stop()
  world?.remove()
})

test('an entry of the command line arrives as an event', async () => {
  const stream = await open()

  assert.equal(stream.status, 200)
  assert.equal(stream.headers['content-type'], 'text/event-stream')
  assert.equal(stream.headers['cache-control'], 'no-store')
  await stream.until(() => stream.lastId !== undefined)
  assert.ok(stream.retry >= 500 && stream.retry <= 2500)
  assert.equal(stream.events.length, 0, 'without Last-Event-ID the stream begins with what comes next')
  change()
  await stream.until(() => stream.events.length > 0)
  const entry = journal().at(-1)

  assert.deepEqual(stream.events[0], { id: entry.seq, kind: 'flag.set', data: entry })
  stream.close()
})

test('from the first entry on, everything, as the audit trail has it', async () => {
  const entries = journal(), stream = await open({ lastId: 0 })

  await stream.until(() => stream.events.length >= entries.length)
  assert.deepEqual(stream.events.map((event) => event.data), entries)
  stream.close()
})

test('filters', async () => {
  const staging = await open({ lastId: 0 }, '?environment=staging'), kinds = await open({ lastId: 0 }, '?kind=deployment.*,flag.restored')
  const all = await open()

  change('production')
  change('staging')
  await staging.until(() => staging.events.length > 0)
  world.json(['record', 'production', '--version', '1.0.0'])
  await kinds.until(() => kinds.events.some((event) => event.kind === 'deployment.recorded'))
  await all.until(() => all.events.some((event) => event.kind === 'deployment.recorded'))
  for (const event of staging.events) assert.equal(event.data.environment, 'staging')
  for (const event of kinds.events) assert.match(event.kind, /^(deployment\..*|flag\.restored)$/)
  assert.ok(all.events.length >= 3)
  for (const stream of [staging, kinds, all]) stream.close()
})

test('a narrow stream moves its position all the same: the heartbeat carries it', async () => {
  const stream = await open({}, '?kind=nothing.such')

  await stream.until(() => stream.lastId !== undefined)
  const before = Number(stream.lastId)

  change()
  await stream.until(() => Number(stream.lastId) > before, { seconds: 40, what: 'a heartbeat' })
  assert.equal(stream.events.length, 0)
  assert.equal(Number(stream.lastId), journal().at(-1).seq)
  stream.close()
})

test('who may not', async () => {
  assert.equal((await EventStream.open(`${server.url}/api/v1/events`)).status, 401)
  assert.equal((await open({ token: 'unship_wrong' })).status, 401)
  assert.equal((await open({ lastId: 'x' })).status, 400)
  assert.equal((await open({ lastId: -1 })).status, 400)
  assert.equal((await open({}, '?environment=nowhere')).status, 404)
  assert.equal((await open({}, `?kind=${Array(17).fill('a.b').join()}`)).status, 400)
})

test('people see their environments only, and are out when their permissions change', async () => {
  const token = makeToken(world, 'viewer', ['staging=viewer']), stream = await open({ token, lastId: 0 })

  assert.equal((await open({ token }, '?environment=production')).status, 403)
  change('production')
  change('staging')
  const last = journal().filter((entry) => entry.environment === 'staging').at(-1).seq

  await stream.until(() => stream.events.at(-1)?.id === last)
  for (const event of stream.events) assert.equal(event.data.environment, 'staging')
  world.json(['people', 'remove', 'viewer', '--yes'])
  await stream.until(() => stream.ended)
  assert.match(stream.comments.at(-1), /come back/)
  await eventually(async () => {
    const late = await open({ token })
    late.close()
    return late.status === 401
  })
})

test('a reconnect storm: cut and resumed at any point while entries are written, every client has every entry once, in order', async () => {
  const clients = 100, rounds = 4, seen = Array.from({ length: clients }, () => []), begin = journal().at(-1).seq
  const writer = spawn('sh', ['-c', `for i in $(seq 60); do "$0" -C "$1" flags production set storm "v$i" --new-variant --reason storm >/dev/null || exit 1; done`,
    process.env.UNSHIP ?? 'build/unship', world.app], { stdio: 'inherit' })
  const written = once(writer, 'exit')
  let random = 7

  const next = (limit) => (random = (random * 1103515245 + 12345) % 2147483648) % limit
  async function client(mine, number) {
    let lastId = begin

    for (let round = 0; round < rounds; round++) {
      const stream = await open({ lastId })

      await stream.until(() => stream.events.length > next(12) + (number % 3) || writer.exitCode !== null)
      stream.close()
      mine.push(...stream.events.map((event) => event.id))
      lastId = mine.at(-1) ?? begin
    }
    const stream = await open({ lastId })

    await written
    const end = journal().at(-1).seq
    await stream.until(() => lastId === end || stream.events.at(-1)?.id >= end)
    stream.close()
    mine.push(...stream.events.map((event) => event.id))
  }
  await Promise.all(seen.map(client))
  const [code] = await written
  assert.equal(code, 0)
  const end = journal().at(-1).seq, expected = Array.from({ length: end - begin }, (_, index) => begin + 1 + index)

  assert.ok(expected.length >= 60)
  for (const mine of seen) assert.deepEqual(mine, expected)
})

test('the server stops: streams say so, and go on with the next one', async () => {
  const stream = await open()

  await stream.until(() => stream.lastId !== undefined)
  await server.stop()
  await stream.until(() => stream.ended)
  assert.match(stream.comments.at(-1), /stops; come back/)
  change()
  server = await startServer(world)
  const again = await open({ lastId: stream.lastId })

  await eventually(() => again.events.length > 0)
  assert.equal(again.events[0].id, Number(stream.lastId) + 1)
  again.close()
})
