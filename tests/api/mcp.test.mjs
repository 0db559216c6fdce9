/* The MCP server over HTTP: with the protocol's own client library, and by hand where headers and bodies must agree. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'

import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

import { eventually } from '../support/eventually.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World } from '../world.mjs'

const version = '2026-07-28'
const meta = { 'io.modelcontextprotocol/protocolVersion': version, 'io.modelcontextprotocol/clientCapabilities': {} }

describe('/mcp', () => {
  let world, server, client, first

  before(async () => {
    world = World.bare(`project: app
environments:
  production:
    components:
      flags: {driver: flags, group: beta}
`)
    world.json(['flags', 'production', 'set', 'search', 'off', '--group', 'beta'])
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.json(['flags', 'production', 'set', 'search', 'on'])
    world.json(['record', 'production', '--version', '2.0.0'])
    server = await startServer(world)
    client = new Client({ name: 'test', version: '1' })
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', server.url), { requestInit: { headers: { Authorization: `Bearer ${server.token}` } } }))
  })
  after(async () => {
    await client?.close()
    await server?.stop()
    world?.remove()
  })

  async function post(message, headers = {}) {
    const response = await fetch(new URL('/mcp', server.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', Authorization: `Bearer ${server.token}`, ...headers },
      body: typeof message === 'string' ? message : JSON.stringify({ jsonrpc: '2.0', ...message }),
    })
    const text = await response.text()

    return { status: response.status, headers: response.headers, text, body: text && JSON.parse(text) }
  }

  /* A request of the revision without state, with the headers that belong to it; `headers` replaces some. */
  const ask = (method, params = {}, headers = {}) => post({ id: 1, method, params: { ...params, _meta: meta } },
    { 'MCP-Protocol-Version': version, 'Mcp-Method': method, ...(params.name ? { 'Mcp-Name': params.name } : {}), ...headers })

  it('is not for strangers', async () => {
    const { status, headers } = await post({ id: 1, method: 'ping' }, { Authorization: '' })

    assert.equal(status, 401)
    assert.match(headers.get('www-authenticate'), /^Bearer/)
    assert.equal((await post({ id: 1, method: 'ping' }, { Authorization: 'Bearer wrong' })).status, 401)
  })

  /* Refusals are counted by the server, which must know its own request behind the call. */
  it('refuses who may not, and goes on', async () => {
    const token = makeToken(world, 'watcher', ['production=viewer'])

    for (const [name, params] of [['rollback_deployment', { environment: 'production', reason: 'no' }], ['set_flag', { environment: 'production', key: 'search', state: 'off' }], ['rollback_deployment', { environment: 'elsewhere', reason: 'no' }]]) {
      const { status, body } = await ask('tools/call', { name, arguments: params }, { Authorization: `Bearer ${token}` })

      assert.equal(status, 200, name)
      assert.equal(body.result.isError, true)
      assert.equal(body.result.structuredContent.error.code, 'forbidden')
    }
    assert.equal((await post({ id: 1, method: 'ping' })).status, 200)
  })

  it('is not for web pages of others', async () => {
    assert.equal((await post({ id: 1, method: 'ping' }, { Origin: 'https://evil.example' })).status, 403)
  })

  it('has no sessions and no stream', async () => {
    for (const method of ['GET', 'DELETE']) {
      const response = await fetch(new URL('/mcp', server.url), { method, headers: { Authorization: `Bearer ${server.token}`, Accept: 'text/event-stream' } })
      assert.equal(response.status, 405, method)
      assert.match(response.headers.get('allow'), /POST/)
    }
    assert.equal((await post({ id: 1, method: 'ping' })).headers.get('mcp-session-id'), null)
  })

  it('serves the client library', async () => {
    const { tools } = await client.listTools()
    const rollback = tools.find((tool) => tool.name === 'rollback_deployment')
    const { structuredContent } = await client.callTool({ name: 'list_deployments', arguments: { environment: 'production' } })

    assert.deepEqual(rollback.inputSchema.required.sort(), ['environment', 'reason'], 'the server has one project')
    assert.deepEqual(structuredContent, world.json(['deployments', 'production']))
  })

  it('takes a path only as a word for its own project', async () => {
    const call = (projectPath) => client.callTool({ name: 'list_flags', arguments: { environment: 'production', projectPath } })

    assert.equal((await call(world.app)).isError, false)
    for (const path of ['/etc', `${world.app}/state`, '.']) assert.equal((await call(path)).structuredContent.error.code, 'forbidden', path)
  })

  it('serves the revision without state', async () => {
    const found = await ask('server/discover')
    const called = await ask('tools/call', { name: 'list_flags', arguments: { environment: 'production' } })

    assert.equal(found.status, 200)
    assert.ok(found.body.result.supportedVersions.includes(version))
    assert.equal(called.body.result.structuredContent.flags.length, 1)
    assert.equal(called.body.result.resultType, 'complete')
  })

  it('wants headers that say what the body says', async () => {
    const named = { name: 'list_flags', arguments: { environment: 'production' } }
    const wrong = [
      { 'Mcp-Method': 'tools/list' }, { 'Mcp-Method': '' }, { 'Mcp-Name': 'history' }, { 'Mcp-Name': '' }, { 'MCP-Protocol-Version': '2025-11-25' },
      { 'Mcp-Name': `=?base64?${Buffer.from('history').toString('base64')}?=` },
    ]

    for (const headers of wrong) {
      const { status, body } = await ask('tools/call', named, headers)
      assert.deepEqual([status, body.error.code, body.id], [400, -32020, 1], JSON.stringify(headers))
    }
    assert.equal((await post({ id: 1, method: 'tools/list' }, { 'MCP-Protocol-Version': version, 'Mcp-Method': 'tools/list' })).body.error.code, -32020)
    assert.equal((await ask('tools/call', named, { 'Mcp-Name': `=?base64?${Buffer.from('list_flags').toString('base64')}?=` })).status, 200)
  })

  it('says by the status what kind of refusal it is', async () => {
    const old = { ...meta, 'io.modelcontextprotocol/protocolVersion': '1900-01-01' }
    const unsupported = await post({ id: 1, method: 'tools/list', params: { _meta: old } }, { 'MCP-Protocol-Version': '1900-01-01', 'Mcp-Method': 'tools/list' })

    assert.deepEqual([unsupported.status, unsupported.body.error.code], [400, -32022])
    assert.ok(unsupported.body.error.data.supported.includes(version))
    assert.deepEqual(await ask('resources/list').then(({ status, body }) => [status, body.error.code]), [404, -32601])
    assert.deepEqual(await post('{').then(({ status, body }) => [status, body.error.code]), [400, -32700])
    assert.deepEqual(await post('[]').then(({ status, body }) => [status, body.error.code]), [400, -32600])
    assert.equal((await post({ id: 1, method: 'ping' }, { 'MCP-Protocol-Version': '1900-01-01' })).status, 400)
    assert.equal((await post({ id: 1, method: 'ping' }, { 'Content-Type': 'text/plain' })).status, 415)
    assert.equal((await post({ id: 1, method: 'ping' }, { Accept: 'text/html' })).status, 406)
    assert.match(await server.raw(`POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${server.token}\r\nContent-Type: application/json\r\nContent-Length: ${5 << 20}\r\n\r\n`), /^HTTP\/1.1 413/)
  })

  it('accepts notifications without a word', async () => {
    const { status, text } = await post({ method: 'notifications/initialized' })
    assert.deepEqual([status, text], [202, ''])
  })

  it('rolls back, and the run is the server\'s', async () => {
    const { structuredContent, isError, content } = await client.callTool({ name: 'rollback_deployment', arguments: { environment: 'production', reason: 'search is wrong' } })

    assert.equal(isError, false, content[0].text)
    assert.match(structuredContent.rollbackId, /^run-/)
    await eventually(() => world.json(['status', structuredContent.rollbackId]).status === 'completed')
    assert.equal(world.json(['flags', 'production', 'list']).flags[0].state, 'false')
    assert.equal(world.json(['status', structuredContent.rollbackId]).rolledBackTo.deploymentId, first.id)
  })
})
