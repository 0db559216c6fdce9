/* An assistant works with unship over the Model Context Protocol on standard streams: with the protocol's own client library and inspector, and with messages written by hand for the revision without state. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { release, World } from '../world.mjs'

const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }
const environment = { ...process.env, PATH: `/usr/bin:${process.env.PATH}` }

async function connect(dir) {
  const client = new Client({ name: 'test', version: '1' })

  await client.connect(new StdioClientTransport({ command: release, args: ['-C', dir, 'mcp'], env: environment, stderr: 'ignore' }))
  return client
}

async function until(what, condition) {
  for (const limit = Date.now() + 60000; Date.now() < limit;) {
    const value = await condition()
    if (value) return value
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error(`${what}: not within a minute`)
}

/* The server by hand: lines in, answers by id out. */
class ByHand {
  constructor(dir) {
    this.child = spawn(release, ['-C', dir, 'mcp'], { env: environment, stdio: ['pipe', 'pipe', 'ignore'] })
    this.answers = []
    this.waiting = []
    this.ended = new Promise((done) => this.child.on('close', (code) => done(code)))
    this.child.stdin.on('error', () => {})
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line)
      const next = this.waiting.shift()
      if (next) next(answer)
      else this.answers.push(answer)
    })
  }

  send(message) {
    this.child.stdin.write(typeof message === 'string' ? `${message}\n` : `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
  }

  next() {
    return this.answers.length ? Promise.resolve(this.answers.shift()) : new Promise((done) => this.waiting.push(done))
  }

  ask(message) {
    this.send(message)
    return this.next()
  }

  async close() {
    this.child.stdin.end()
    return this.ended
  }
}

describe('an assistant', () => {
  let world, first, client, ran

  before(async () => {
    /* A probe that takes its time: runs last long enough to be watched, left and abandoned. */
    world = await World.make({ versions: { '1.0.0': {}, '2.0.0': { healthy: false } }, extra: '      slow: {type: exec, argv: [sleep, "1"]}' })
    world.deploy('1.0.0', { greeting: 'one' })
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.deploy('2.0.0', { greeting: 'two' })
    client = await connect(world.app)
  })
  after(async () => {
    await client?.close()
    world?.remove()
  })

  const call = (name, given = {}, options = {}) => client.callTool({ name, arguments: given }, undefined, options)

  it('is told who speaks, and how to use it', () => {
    assert.equal(client.getServerVersion().name, 'unship')
    assert.match(client.getInstructions(), /You cannot approve/)
    assert.deepEqual(client.getServerCapabilities(), { tools: {} })
  })

  it('finds the tools, with honest annotations, and none by which it could approve', async () => {
    const { tools, nextCursor } = await client.listTools()
    const by = Object.fromEntries(tools.map((tool) => [tool.name, tool]))

    assert.equal(nextCursor, undefined)
    for (const name of ['rollback_deployment', 'list_deployments', 'plan_rollback', 'rollback_status', 'health', 'history']) assert.ok(by[name], name)
    for (const tool of tools) assert.doesNotMatch(tool.name, /approve|reject|token|people|break|login|export|prune|record/)
    assert.deepEqual(by.rollback_deployment.annotations,
      { title: 'Roll back an environment', readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true })
    assert.deepEqual([by.plan_rollback.annotations.readOnlyHint, by.plan_rollback.annotations.destructiveHint], [true, false])
    assert.equal(by.list_deployments.annotations.readOnlyHint, true)
    assert.equal(by.health.annotations.readOnlyHint, false, 'it keeps evidence')
    assert.equal(by.set_flag.annotations.destructiveHint, true)
    assert.deepEqual(Object.keys(by.resume_rollback.inputSchema.properties).sort(), ['id', 'projectPath'])
  })

  it('sees the parameters of rollback_deployment as they were laid down', async () => {
    const { inputSchema } = (await client.listTools()).tools.find((tool) => tool.name === 'rollback_deployment')

    assert.deepEqual(Object.keys(inputSchema.properties).sort(), ['deploymentId', 'environment', 'force', 'preserveData', 'projectPath', 'reason', 'target'])
    assert.deepEqual(inputSchema.required.sort(), ['environment', 'projectPath', 'reason'])
    assert.equal(inputSchema.properties.preserveData.default, true)
    assert.equal(inputSchema.properties.force.default, false)
  })

  it('looks before it acts: health, deployments, a plan; nothing changes', async () => {
    const before = await world.reality()
    const health = await call('health', { environment: 'production' })
    const { deployments } = (await call('list_deployments', { environment: 'production' })).structuredContent
    const plan = await call('plan_rollback', { environment: 'production' })

    assert.equal(health.structuredContent.health, 'failing')
    assert.equal(deployments[0].version, '2.0.0')
    assert.equal(plan.structuredContent.target.deploymentId, first.id)
    assert.match(plan.content[0].text, /from 2\.0\.0 to 1\.0\.0: \d+ steps; 0 findings block\. Nothing was changed/)
    assert.deepEqual(JSON.parse(plan.content[1].text), plan.structuredContent)
    assert.deepEqual(await world.reality(), before)
  })

  it('gets the same answer as the command line', async () => {
    assert.deepEqual((await call('list_deployments', { environment: 'production' })).structuredContent, world.json(['deployments', 'production']))
    assert.deepEqual((await call('history')).structuredContent, world.json(['history']))
  })

  it('reads what was wrong with a call, and with its arguments', async () => {
    const wrong = await call('list_deployments', { environment: 'producton' })
    const more = await call('rollback_deployment', { projectPath: world.app, environment: 'production', reason: 'x', planHash: 'x' })

    assert.equal(wrong.isError, true)
    assert.equal(wrong.structuredContent.error.code, 'not-found')
    assert.match(wrong.content[0].text, /production/)
    assert.equal(more.isError, true)
    assert.match(more.structuredContent.error.message, /planHash/)
    assert.equal(more.structuredContent.success, false)
    await assert.rejects(call('approve_rollback', { id: 'x' }), /Unknown tool/)
  })

  it('cannot say for a person what that person found', async () => {
    const answer = await call('resume_rollback', { step: 'stop', answer: 'done' })

    assert.equal(answer.isError, true)
    assert.match(answer.structuredContent.error.message, /step|answer/)
  })

  it('reaches no other project', async () => {
    const beside = `${world.app}-beside`

    mkdirSync(beside)
    writeFileSync(join(beside, 'unship.yaml'), 'project: other\nenvironments: {production: {components: {flags: {driver: flags}}}}\n')
    symlinkSync(beside, join(world.app, 'link'))
    for (const path of [beside, '/etc', join(world.app, 'link'), join(world.app, '..'), 'state', join(world.app, 'missing')]) {
      const answer = await call('list_flags', { projectPath: path, environment: 'production' })
      assert.equal(answer.isError, true, path)
      assert.match(answer.structuredContent.error.code, /forbidden|invalid/, path)
    }
    assert.equal((await call('list_flags', { projectPath: join(world.app, 'state'), environment: 'production' })).isError, false)
  })

  it('rolls back, is told how it goes, and gets the result as it was laid down', async () => {
    const progress = []
    const answer = await call('rollback_deployment', { projectPath: world.app, environment: 'production', reason: 'errors since 2.0.0' },
      { onprogress: (step) => progress.push(step) })
    const result = ran = answer.structuredContent

    assert.equal(answer.isError, false, answer.content[0].text)
    for (const key of ['success', 'rollbackId', 'timestamp', 'rolledBackTo', 'summary', 'validation', 'warnings']) assert.ok(key in result, key)
    assert.equal(result.success, true)
    assert.deepEqual(Object.keys(result.rolledBackTo).sort(), ['deploymentId', 'timestamp', 'version'])
    assert.deepEqual(Object.keys(result.summary).sort(), ['dataPreserved', 'duration', 'servicesRolledBack'])
    assert.deepEqual(Object.keys(result.validation).sort(), ['configValid', 'healthChecks', 'servicesRunning'])
    assert.equal(result.rolledBackTo.deploymentId, first.id)
    assert.equal(result.summary.dataPreserved, true)
    assert.equal(result.validation.healthChecks, true)
    assert.match(answer.content[0].text, /^Rolled production back to 1\.0\.0/)
    assert.equal((await world.reality()).version, '1.0.0')
    assert.ok(progress.length > 3)
    assert.ok(progress.every((step, i) => i === 0 || step.progress > progress[i - 1].progress))
    assert.ok(progress.some((step) => /steps done/.test(step.message)))
  })

  it('is known by name in the audit trail', () => {
    const { entries } = world.json(['audit', 'search', '--run', ran.rollbackId])
    assert.match(entries.find((entry) => entry.kind === 'run.requested').actor, / via mcp$/)
  })

  const again = (reason) => ({ projectPath: world.app, environment: 'production', deploymentId: first.id, reason })
  const theEnd = (reason) => until('the end of the run', () => {
    const answer = world.json(['status'])
    return answer.reason === reason && ['completed', 'restored', 'failed'].includes(answer.status) && answer
  })

  it('may stop waiting: what it began goes on', async () => {
    const controller = new AbortController()

    world.json(['undo', '--yes', '--force'])
    await assert.rejects(call('rollback_deployment', again('stops waiting'),
      { signal: controller.signal, onprogress: ({ message }) => /steps done/.test(message) && controller.abort() }))
    assert.equal((await call('rollback_status')).structuredContent.reason, 'stops waiting', 'and it goes on serving')
    assert.equal((await theEnd('stops waiting')).status, 'completed')
  })

  it('may be gone altogether: what it began goes on', async () => {
    const other = await connect(world.app)

    world.json(['undo', '--yes', '--force'])
    await new Promise((begun) => {
      other.callTool({ name: 'rollback_deployment', arguments: again('is gone') }, undefined, { onprogress: ({ message }) => /steps done/.test(message) && begun() }).catch(() => {})
    })
    process.kill(other.transport.pid, 'SIGKILL')
    await other.close()
    assert.equal((await theEnd('is gone')).status, 'completed')
    assert.equal((await world.reality()).version, '1.0.0')
  })

  it('ends promptly when its client closes, while a call works', async () => {
    const other = new ByHand(world.app)

    world.json(['undo', '--yes', '--force'])
    other.send({ id: 1, method: 'tools/call', params: { name: 'rollback_deployment', arguments: again('closes'), _meta: { ...meta, progressToken: 'p' } } })
    while (!/steps done/.test((await other.next()).params?.message)) { /* the next */ }
    other.child.kill('SIGTERM')
    assert.equal(await other.ended, 0)
    assert.equal(other.answers.filter((answer) => answer.id === 1).length, 0, 'nobody waits for an answer')
    assert.equal((await theEnd('closes')).status, 'completed')
  })
})

describe('an assistant in a protected environment', () => {
  let world, client, first

  before(async () => {
    world = World.bare(`project: app
environments:
  production:
    protected: true
    components:
      flags: {driver: flags, group: beta}
`)
    world.json(['flags', 'production', 'set', 'search', 'off', '--group', 'beta'])
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.json(['flags', 'production', 'set', 'search', 'on'])
    world.json(['record', 'production', '--version', '2.0.0'])
    client = await connect(world.app)
  })
  after(async () => {
    await client?.close()
    world?.remove()
  })

  const state = () => world.json(['flags', 'production', 'list']).flags[0].state

  it('asks, and a person decides', async () => {
    await client.listTools() /* so that results are held against their schemas */
    const asked = await client.callTool({ name: 'rollback_deployment', arguments: { projectPath: world.app, environment: 'production', reason: 'search is wrong' } })
    const { approval } = asked.structuredContent

    assert.equal(asked.isError, false)
    assert.match(approval.id, /^apr-/)
    assert.match(asked.content[0].text, new RegExp(`${approval.id} waits for a person.*unship approve ${approval.id}`, 's'))
    assert.equal(state(), 'true', 'nothing was changed')
    assert.deepEqual((await client.callTool({ name: 'list_rollbacks', arguments: {} })).structuredContent.runs, [])
    world.json(['approve', approval.id])
    assert.equal(state(), 'false')
    const status = (await client.callTool({ name: 'rollback_status', arguments: {} })).structuredContent
    assert.equal(status.status, 'completed')
    assert.equal(status.rolledBackTo.deploymentId, first.id)
  })
})

describe('an assistant for several projects', () => {
  let world, client

  before(async () => {
    world = World.bare('project: unused\n')
    for (const name of ['one', 'two']) {
      mkdirSync(join(world.dir, name))
      writeFileSync(join(world.dir, name, 'unship.yaml'), `project: ${name}\nenvironments: {${name}-env: {components: {flags: {driver: flags}}}}\n`)
    }
    client = await connect(world.dir)
  })
  after(async () => {
    await client?.close()
    world?.remove()
  })

  it('says which it means', async () => {
    const without = await client.callTool({ name: 'check_project', arguments: {} })
    const two = await client.callTool({ name: 'list_flags', arguments: { projectPath: join(world.dir, 'two'), environment: 'two-env' } })

    assert.equal(without.isError, true)
    assert.match(without.content[0].text, /projectPath/)
    assert.equal(two.isError, false)
  })
})

describe('the server', () => {
  let world, server

  before(() => {
    world = World.bare('project: app\nenvironments: {production: {components: {flags: {driver: flags}}}}\n')
    server = new ByHand(world.app)
  })
  after(async () => {
    await server?.close()
    world?.remove()
  })

  it('needs initialize in the revision that has it', async () => {
    assert.equal((await server.ask({ id: 1, method: 'tools/list' })).error.code, -32600)
    assert.deepEqual((await server.ask({ id: 2, method: 'ping' })).result, {})
  })

  it('serves the revision without state beside it', async () => {
    const found = (await server.ask({ id: 'd', method: 'server/discover', params: { _meta: meta } })).result
    const list = (await server.ask({ id: 'l', method: 'tools/list', params: { _meta: meta } })).result
    const called = (await server.ask({ id: 'c', method: 'tools/call', params: { name: 'list_flags', arguments: { environment: 'production' }, _meta: meta } })).result

    assert.equal(found.resultType, 'complete')
    assert.deepEqual(found.supportedVersions.slice(0, 2), ['2026-07-28', '2025-11-25'])
    assert.equal(found._meta['io.modelcontextprotocol/serverInfo'].name, 'unship')
    for (const result of [found, list]) {
      assert.ok(result.ttlMs > 0)
      assert.equal(result.cacheScope, 'public')
    }
    assert.ok(list.tools.length > 10)
    assert.equal(called.resultType, 'complete')
    assert.deepEqual(called.structuredContent, { environment: 'production', flags: [] })
  })

  it('names the versions that it speaks when it is asked in another', async () => {
    const { error } = await server.ask({ id: 1, method: 'tools/list', params: { _meta: { ...meta, 'io.modelcontextprotocol/protocolVersion': '1900-01-01' } } })

    assert.equal(error.code, -32022)
    assert.equal(error.data.requested, '1900-01-01')
    assert.ok(error.data.supported.includes('2026-07-28'))
  })

  it('refuses what that revision does not have, or lacks what it demands', async () => {
    const { 'io.modelcontextprotocol/clientCapabilities': _, ...poor } = meta

    assert.equal((await server.ask({ id: 1, method: 'ping', params: { _meta: meta } })).error.code, -32601)
    assert.equal((await server.ask({ id: 2, method: 'initialize', params: { _meta: meta } })).error.code, -32601)
    assert.equal((await server.ask({ id: 3, method: 'tools/list', params: { _meta: poor } })).error.code, -32602)
    assert.equal((await server.ask({ id: 4, method: 'server/discover' })).error.code, -32602)
  })

  it('answers an initialize for a version that it does not know with its own', async () => {
    const params = { protocolVersion: '2030-01-01', capabilities: {}, clientInfo: { name: 'x', version: '1' } }

    assert.equal((await server.ask({ id: 1, method: 'initialize', params })).result.protocolVersion, '2025-11-25')
    assert.equal((await server.ask({ id: 2, method: 'initialize', params: { ...params, protocolVersion: '2025-06-18' } })).result.protocolVersion, '2025-06-18')
  })

  it('survives what is no message', async () => {
    const expected = [
      ['garbage', -32700],
      ['{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "ping"}', -32700],
      [`${'['.repeat(100)}${']'.repeat(100)}`, -32700],
      [`{"jsonrpc": "2.0", "id": 1, "method": "${'x'.repeat(5 << 20)}"}`, -32700],
      ['\u0000', -32700],
      ['[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600],
      ['"text"', -32600],
      ['{"id": 1, "method": "ping"}', -32600],
      ['{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600],
      ['{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600],
      ['{"jsonrpc": "2.0", "id": 1}', -32600],
      ['{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32600],
      ['{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', -32602],
      ['{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "x"}}', -32602],
      ['{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', -32601],
    ]

    for (const [line, code] of expected) assert.equal((await server.ask(line)).error?.code, code, line.slice(0, 80))
    server.send('')
    server.send({ method: 'notifications/cancelled', params: { requestId: 'nothing' } })
    server.send({ id: 5, result: {} })
    assert.deepEqual((await server.ask({ id: 'alive', method: 'ping' })), { jsonrpc: '2.0', id: 'alive', result: {} })
  })

  it('ends when its input ends, with every answer given', async () => {
    const other = new ByHand(world.app)

    other.send({ id: 1, method: 'tools/call', params: { name: 'list_flags', arguments: { environment: 'production' }, _meta: meta } })
    const code = await other.close()
    assert.equal((await other.next()).id, 1)
    assert.equal(code, 0)
  })
})

describe('the inspector', () => {
  let world

  before(() => {
    world = World.bare('project: app\nenvironments: {production: {components: {flags: {driver: flags}}}}\n')
  })
  after(() => world?.remove())

  const inspect = (...argv) => {
    const cli = fileURLToPath(import.meta.resolve('@modelcontextprotocol/inspector-cli'))
    const result = spawnSync(process.execPath, [join(cli, '../index.js'), release, '-C', world.app, 'mcp', ...argv], { encoding: 'utf8', env: environment, timeout: 60000 })
    assert.equal(result.status, 0, result.stderr)
    return JSON.parse(result.stdout)
  }

  it('lists and calls tools', () => {
    assert.ok(inspect('--method', 'tools/list').tools.some((tool) => tool.name === 'rollback_deployment'))
    const answer = inspect('--method', 'tools/call', '--tool-name', 'list_flags', '--tool-arg', 'environment=production')
    assert.deepEqual(answer.structuredContent, { environment: 'production', flags: [] })
  })
})
