/* Sinks: what a receiver gets when it fails first, when the server is killed in between, and who wrote the journal does not matter; CloudEvents, CDEvents, traces. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'

import { eventually } from '../support/eventually.mjs'
import { startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

/* Keeps what came: {path, headers, body, status}. `answer(request)` says the status, or {status, headers, body}. */
class Receiver {
  static async start() {
    const receiver = new Receiver()

    receiver.requests = []
    receiver.answer = () => 200
    receiver.server = createServer((request, response) => {
      let text = ''
      request.setEncoding('utf8')
      request.on('data', (part) => { text += part })
      request.on('end', () => {
        const one = { path: request.url, method: request.method, headers: request.headers, body: JSON.parse(text), at: Date.now() }
        const answer = receiver.answer(one)
        const { status, headers = {}, body = '' } = typeof answer === 'number' ? { status: answer } : answer
        one.status = status
        receiver.requests.push(one)
        response.writeHead(status, headers).end(body)
      })
    })
    await new Promise((done) => receiver.server.listen(0, '127.0.0.1', done))
    receiver.port = receiver.server.address().port
    receiver.url = `http://127.0.0.1:${receiver.port}`
    return receiver
  }

  taken(path) { return this.requests.filter((one) => one.path === path && one.status < 300) }

  /* Each once, as whoever sorts out repetitions by source and id sees them. */
  events(path) {
    const seen = new Set()
    return this.taken(path).map(({ body }) => body).filter(({ source, id }) => !seen.has(`${source} ${id}`) && seen.add(`${source} ${id}`))
  }

  async close() {
    this.server.closeAllConnections()
    await new Promise((done) => this.server.close(done))
  }
}

const journal = (world) => world.json(['audit', 'search', '--limit', '10000']).entries.reverse()
const metric = async (server, name, labels) => {
  const { bodyText } = await server.fetch('/metrics')
  const line = bodyText.split('\n').find((one) => one.startsWith(`${name}{${labels}} `))
  return line && Number(line.split(' ').at(-1))
}

describe('CloudEvents', () => {
  let world, server, receiver
  const set = (key, environment = 'production') => world.json(['flags', environment, 'set', key, 'on', '--new-variant', '--reason', 'sinks'])

  before(async () => {
    receiver = await Receiver.start()
    world = World.bare(`project: shop
environments:
  production: {components: {flags: {driver: flags, group: beta}}}
  staging: {components: {flags: {driver: flags, group: beta}}}
server:
  sinks:
    - {name: everything, url: "${receiver.url}/all", source: "https://unship.example/shop"}
    - {url: "${receiver.url}/flags", format: cloudevents, kinds: [flag.*], environments: [staging], token: {file: state/token}}
    - {name: picky, url: "${receiver.url}/picky", kinds: [flag.set]}
`)
    writeFileSync(join(world.app, 'state/token'), 'a token for the receiver\n', { mode: 0o600 })
    set('before-the-first-start')
    server = await startServer(world)
  })
  after(async () => {
    await server?.stop()
    await receiver?.close()
    world?.remove()
  })

  it('each entry is told, also when the receiver fails first', async () => {
    let failures = 2
    receiver.answer = ({ path }) => (path === '/all' && failures-- > 0 ? 503 : 204)
    set('first')
    set('second', 'staging')
    await eventually(() => receiver.events('/all').length >= 2)
    const [first, second] = receiver.events('/all'), entries = journal(world).filter(({ data }) => ['first', 'second'].includes(data.flag) && data.state)

    assert.deepEqual(Object.keys(first).sort(), ['data', 'datacontenttype', 'environment', 'id', 'sequence', 'source', 'specversion', 'subject', 'time', 'type'])
    assert.deepEqual({ ...first, data: 0 }, {
      specversion: '1.0', id: entries[0].id, source: 'https://unship.example/shop', type: 'unship.flag.set', time: entries[0].at, subject: 'production', environment: 'production',
      datacontenttype: 'application/json', sequence: String(entries[0].seq).padStart(19, '0'), data: 0,
    })
    assert.deepEqual(first.data, entries[0])
    assert.equal(second.environment, 'staging')
    assert.equal(receiver.requests[0].headers['content-type'], 'application/cloudevents+json; charset=utf-8')
    assert.equal(receiver.requests[0].method, 'POST')
    assert.ok(receiver.requests.filter(({ path, status }) => path === '/all' && status === 503).length === 2)
    assert.ok(!receiver.events('/all').some(({ data }) => data.data.flag === 'before-the-first-start'), 'a new sink begins with what is new')
  })

  it('one that asks for less gets less, with its token', async () => {
    set('third', 'staging')
    await eventually(() => receiver.events('/flags').length >= 2)
    assert.deepEqual(receiver.events('/flags').map(({ data }) => data.data.flag), ['second', 'third'])
    const [{ headers }] = receiver.taken('/flags')
    assert.equal(headers.authorization, 'Bearer a token for the receiver')
    assert.ok(receiver.requests.every((one) => one.path === '/flags' || !one.headers.authorization))
    assert.equal(receiver.events('/flags')[0].source, '/unship/shop')
  })

  it('an event that is not wanted is passed over at the third time, and said', async () => {
    receiver.answer = ({ path, body }) => (path === '/picky' && body.data.data.flag === 'unwanted' ? 422 : 200)
    set('unwanted')
    set('wanted')
    await eventually(() => receiver.events('/picky').some(({ data }) => data.data.flag === 'wanted'))
    assert.equal(receiver.requests.filter(({ path, status }) => path === '/picky' && status === 422).length, 3)
    assert.equal(await metric(server, 'unship_sink_entries_total', 'sink="picky",outcome="refused"'), 1)
    assert.equal(await metric(server, 'unship_sink_healthy', 'sink="picky"'), 1)
    assert.equal(server.errors().split('does not want an event').length, 2)
  })

  it('nothing is lost when the receiver is away and the server is killed, whoever writes; the order stays', async () => {
    receiver.answer = () => 500
    const from = journal(world).at(-1).seq
    set('while-it-is-away')
    await eventually(() => receiver.requests.some(({ status, path, body }) => status === 500 && path === '/all' && body.data.seq > from))
    assert.equal(await eventually(async () => (await metric(server, 'unship_sink_healthy', 'sink="everything"')) === 0), true)
    await server.kill()
    for (let i = 0; i < 100; i++) set(`while-nobody-serves-${i % 7}-${i}`)
    receiver.answer = () => (Math.random() < 0.05 ? 503 : 200)
    server = await startServer(world, { admin: false })
    await eventually(() => receiver.events('/all').length > 40, { seconds: 60 })
    await server.kill()
    receiver.answer = () => 200
    server = await startServer(world)
    const last = set('last')
    assert.ok(last)
    await eventually(() => receiver.events('/all').some(({ data }) => data.data.flag === 'last'), { seconds: 60 })
    const entries = journal(world).filter(({ seq }) => seq > from), told = receiver.events('/all').filter(({ data }) => data.seq > from)

    assert.deepEqual(told.map(({ id }) => id), entries.slice(0, told.length).map(({ id }) => id))
    assert.ok(told.length >= 102)
    assert.deepEqual(told.map(({ data }) => data), entries.slice(0, told.length))
    assert.equal(world.json(['audit', 'verify']).intact, true)
  })

  it('two servers on one store do not both send', async () => {
    const second = await startServer(world, { admin: false })

    try {
      const from = journal(world).at(-1).seq
      for (let i = 0; i < 20; i++) set(`with-two-${i}`)
      await eventually(() => receiver.events('/all').some(({ data }) => data.data.flag === 'with-two-19'))
      await eventually(async () => (await metric(server, 'unship_sink_position', 'sink="everything"')) > from + 19)
      const sent = receiver.taken('/all').filter(({ body }) => body.data.seq > from)
      assert.deepEqual(sent.map(({ body }) => body.data.seq), [...new Set(sent.map(({ body }) => body.data.seq))].sort((a, b) => a - b))
    } finally {
      await second.stop()
    }
  })

  it('a server that stops does so while its sinks hang', async () => {
    receiver.answer = () => 503
    set('never-mind')
    const begun = Date.now()
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    assert.ok(Date.now() - begun < 20000)
    server = null
  })
})

/* What the schemas of CDEvents 0.5 ask for, in their words: https://github.com/cdevents/spec, schemas/. */
const cdevents = {
  'pipelinerun.queued': { subject: 'pipelineRun', version: '0.3.0', required: [], optional: ['pipelineName', 'uri'] },
  'pipelinerun.started': { subject: 'pipelineRun', version: '0.3.0', required: ['pipelineName', 'uri'], optional: [] },
  'pipelinerun.finished': { subject: 'pipelineRun', version: '0.3.0', required: [], optional: ['pipelineName', 'uri', 'outcome', 'errors'] },
  'service.deployed': { subject: 'service', version: '0.3.0', required: ['environment', 'artifactId'], optional: [] },
  'service.upgraded': { subject: 'service', version: '0.3.0', required: ['environment', 'artifactId'], optional: [] },
  'service.rolledback': { subject: 'service', version: '0.3.0', required: ['environment', 'artifactId'], optional: [] },
  'incident.detected': { subject: 'incident', version: '0.3.0', required: ['environment'], optional: ['description', 'service', 'artifactId'] },
  'incident.resolved': { subject: 'incident', version: '0.3.0', required: ['environment'], optional: ['description', 'service', 'artifactId'] },
}

function assertCdevent(event) {
  const { context, subject, ...rest } = event.data
  const [, name, version] = /^dev\.cdevents\.([a-z]+\.[a-z]+)\.(\d+\.\d+\.\d+)$/.exec(context.type)
  const wanted = cdevents[name]

  assert.ok(wanted, name)
  assert.equal(version, wanted.version)
  assert.deepEqual(Object.keys(context).sort(), ['id', 'source', 'specversion', 'timestamp', 'type'])
  assert.equal(context.specversion, '0.5.0')
  assert.ok(context.id.length && context.source.length && !Number.isNaN(Date.parse(context.timestamp)))
  assert.deepEqual([event.id, event.source, event.type, event.subject, event.specversion], [context.id, context.source, context.type, subject.id, '1.0'])
  assert.deepEqual(Object.keys(subject).sort(), ['content', 'id', 'source', 'type'])
  assert.equal(subject.type, wanted.subject)
  for (const key of wanted.required) assert.ok(key in subject.content, `${name}: ${key}`)
  for (const key of Object.keys(subject.content)) assert.ok([...wanted.required, ...wanted.optional].includes(key), `${name}: ${key}`)
  if (subject.content.environment) assert.deepEqual(Object.keys(subject.content.environment), ['id'])
  if (subject.content.uri) assert.ok(new URL(subject.content.uri))
  if (subject.content.outcome) assert.ok(['success', 'error', 'failure'].includes(subject.content.outcome))
  if (subject.content.artifactId) assert.match(subject.content.artifactId, /^pkg:[a-z]+\/[^@\s]+@[^@\s]+$/)
  assert.deepEqual(Object.keys(rest).sort(), ['customData', 'customDataContentType'])
}

describe('CDEvents and traces', () => {
  let world, server, receiver
  const told = (name) => receiver.events('/cd').filter(({ type }) => type.startsWith(`dev.cdevents.${name}.`))
  const traces = () => receiver.requests.filter(({ path }) => path === '/otlp/v1/traces')
  const rollback = () => world.json(['rollback', 'production', '--reason', 'sinks', '--yes'])

  before(async () => {
    receiver = await Receiver.start()
    world = await World.make({ extra: `server:
  hooks: {alertmanager: {type: alertmanager, principal: admin, environment: production}}
  sinks: [{url: "${receiver.url}/cd", format: cdevents}]` })
    server = await startServer(world, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/otlp/`, OTEL_EXPORTER_OTLP_HEADERS: 'x-scope=the%20shop, x-key = collector-key' } })
  })
  after(async () => {
    await server?.stop()
    await receiver?.close()
    world?.remove()
  })

  it('a first deployment deploys, another upgrades, a rollback rolls back', async () => {
    world.deploy('1.0.0', { status: 'passing' })
    await eventually(() => told('service.deployed').length >= 3)
    world.deploy('2.0.0', { greeting: 'hi' })
    await eventually(() => told('service.upgraded').length >= 1)
    const from = receiver.requests.length, { rollbackId } = rollback()
    await eventually(() => told('service.rolledback').length >= 1 && told('pipelinerun.finished').some(({ subject }) => subject === rollbackId))

    for (const { body } of receiver.taken('/cd')) assertCdevent(body)
    assert.ok(receiver.taken('/cd').every(({ headers }) => headers['content-type'].startsWith('application/cloudevents+json')))
    const shown = world.json(['deployments', 'show', world.json(['deployments', 'production']).deployments[1].id])
    const code = told('service.rolledback').find(({ subject }) => subject === 'app/code')
    assert.deepEqual(code.data.subject.content, { environment: { id: 'production' }, artifactId: `pkg:generic/app/code@${encodeURIComponent(shown.components.code.version)}` })
    const run = receiver.requests.slice(from).map(({ body }) => body).filter(({ subject }) => subject === rollbackId)
    assert.deepEqual(run.map(({ type }) => type.split('.')[3]), ['queued', 'started', 'finished'])
    assert.equal(run[2].data.subject.content.outcome, 'success')
  })

  it('what takes a rollback back upgrades', async () => {
    const before = told('service.upgraded').length
    world.json(['undo', '--yes'])
    await eventually(() => told('service.upgraded').length > before)
    for (const { body } of receiver.taken('/cd')) assertCdevent(body)
  })

  it('an alert is an incident', async () => {
    const send = (status, more = {}) => server.fetch('/api/v1/hooks/alertmanager', { method: 'POST', body: { version: '4', alerts: [{ status, labels: { alertname: 'Broken' }, annotations: { summary: 'it is' }, startsAt: '2026-11-21T08:00:00Z', fingerprint: 'ab', ...more }] } })
    assert.equal((await send('firing')).status, 200)
    assert.equal((await send('resolved', { endsAt: '2026-11-21T08:01:00Z' })).status, 200)
    // The watch over readiness may tell of others meanwhile.
    const one = (type) => told(type).find(({ subject }) => subject.startsWith('alertmanager/ab/'))
    await eventually(() => one('incident.resolved'))
    const detected = one('incident.detected'), resolved = one('incident.resolved')
    assertCdevent(detected)
    assertCdevent(resolved)
    assert.equal(detected.subject, resolved.subject)
    assert.equal(detected.data.subject.content.description, 'it is')
  })

  it('each run is a trace, the command line\'s too, and the same one when it is sent twice', async () => {
    const attribute = (span, key) => span.attributes.find((one) => one.key === key)?.value.stringValue
    const before = traces().length
    let first = true
    receiver.answer = ({ path }) => {
      if (path !== '/otlp/v1/traces' || !first) return { status: 200, headers: { 'Content-Type': 'application/json' }, body: '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}' }
      first = false
      return { status: 429, headers: { 'Retry-After': '2' } }
    }
    const { rollbackId } = rollback()
    await eventually(() => traces().length >= before + 2)
    const [refused, taken] = traces().slice(before)

    assert.deepEqual([refused.status, taken.status], [429, 200])
    assert.ok(taken.at - refused.at >= 1900, `after ${taken.at - refused.at} ms`)
    assert.deepEqual(refused.body, taken.body)
    assert.equal(taken.headers['content-type'], 'application/json')
    assert.deepEqual([taken.headers['x-scope'], taken.headers['x-key']], ['the shop', 'collector-key'])
    const [{ resource, scopeSpans: [{ scope, spans }] }] = taken.body.resourceSpans
    assert.equal(attribute(resource, 'service.name'), 'unship')
    assert.equal(scope.name, 'unship')
    const root = spans.find(({ parentSpanId }) => !parentSpanId)
    assert.equal(spans.filter(({ parentSpanId }) => !parentSpanId).length, 1)
    assert.equal(attribute(root, 'cicd.pipeline.run.id'), rollbackId)
    assert.equal(attribute(root, 'cicd.pipeline.result'), 'success')
    assert.equal(attribute(root, 'deployment.environment.name'), 'production')
    assert.deepEqual([root.kind, root.status.code], [2, 1])
    const entries = journal(world).filter(({ run }) => run === rollbackId), ended = entries.filter(({ kind, data }) => kind === 'step.ended' && !data.notBegun)
    assert.equal(spans.length, ended.length + 1)
    assert.equal(new Set(spans.map(({ spanId }) => spanId)).size, spans.length)
    for (const span of spans) {
      assert.match(span.traceId, /^[0-9a-f]{32}$/)
      assert.match(span.spanId, /^[0-9a-f]{16}$/)
      assert.equal(span.traceId, root.traceId)
      assert.match(span.startTimeUnixNano, /^\d{19}$/)
      assert.ok(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano))
      if (span === root) continue
      assert.equal(span.parentSpanId, root.spanId)
      assert.equal(span.kind, 1)
      assert.ok(attribute(span, 'cicd.pipeline.task.name') && attribute(span, 'cicd.pipeline.task.run.id').startsWith(rollbackId))
      assert.equal(attribute(span, 'cicd.pipeline.task.run.result'), 'success')
      assert.ok(BigInt(span.startTimeUnixNano) >= BigInt(root.startTimeUnixNano) && BigInt(span.endTimeUnixNano) <= BigInt(root.endTimeUnixNano))
    }
    world.json(['undo', '--yes'])
    await eventually(() => traces().length === before + 3)
    assert.notEqual(traces().at(-1).body.resourceSpans[0].scopeSpans[0].spans[0].traceId, root.traceId)
  })

  it('an answer that OTLP does not want repeated is not', async () => {
    const before = traces().length
    receiver.answer = ({ path }) => (path === '/otlp/v1/traces' ? 400 : 200)
    rollback()
    await eventually(() => traces().length === before + 1)
    receiver.answer = () => 200
    world.json(['undo', '--yes'])
    await eventually(() => traces().length > before + 1)
    assert.equal(traces().length, before + 2)
    assert.ok(!server.errors().includes('collector-key'))
  })
})
