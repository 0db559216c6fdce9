/* The OpenAPI document: valid, and true. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { World } from '../world.mjs'
import { makeToken, startServer } from '../support/server.mjs'

let world
let server
let document

before(async () => {
  world = World.bare(`project: app
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
  staging:
    components:
      config: {driver: files, paths: [state/app.env]}
`)
  writeFileSync(join(world.app, 'state/app.env'), 'GREETING=hello\n')
  server = await startServer(world)
  document = (await server.fetch('/api/openapi.json', { token: null })).json
})
after(async () => {
  await server.stop()
  world.remove()
})

const operations = () => Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })))
/* As docs/access.md has them. */
const roles = {
  viewer: ['view'],
  operator: ['view', 'plan', 'execute', 'flags'],
  approver: ['view', 'plan', 'approve'],
  admin: ['view', 'plan', 'execute', 'approve', 'force', 'emergency', 'flags', 'administer'],
}
/* A path with something in every place. */
const filled = (path) => path.replace(/\{(\w+)\}/g, (_, name) => ({ environment: 'production' })[name] ?? 'nothing')

describe('the document', () => {
  it('is valid for a linter that others use', async () => {
    const config = await createConfig({ extends: ['recommended'] })
    const problems = await lintFromString({ source: JSON.stringify(document), config })

    assert.deepEqual(problems.map((problem) => `${problem.severity} ${problem.ruleId}: ${problem.message} ${problem.location?.[0]?.pointer}`), [])
  })

  it('says for every operation what it answers', () => {
    const silent = operations().filter((operation) => operation.tags[0] !== 'server' && operation.responses['200']?.content?.['application/json'] && !operation.responses['200'].content['application/json'].schema.$ref)

    assert.deepEqual(silent.map((operation) => operation.operationId), [])
  })

  it('has no operation twice, and none that works on the files of its caller', () => {
    const ids = operations().map((operation) => operation.operationId)

    assert.equal(new Set(ids).size, ids.length)
    assert.ok(!ids.includes('snapshots.export'))
    assert.ok(!JSON.stringify(document.paths['/api/v1/environments/{environment}/rollbacks'].post).includes('"plan":'))
  })
})

describe('every route', () => {
  it('is there: no 404 of a path, no 405', async () => {
    for (const { path, method } of operations()) {
      if (path === '/api/v1/events' || path === '/mcp') continue
      const response = await server.fetch(filled(path), { method: 'OPTIONS' })

      assert.equal(response.status, 204, `${method} ${path}`)
      assert.ok(response.headers.get('allow').includes(method), `${method} ${path}`)
    }
  })

  it('wants a credential, unless it says that it wants none', async () => {
    for (const { path, method, security } of operations()) {
      if (security?.length === 0) continue
      const response = await server.fetch(filled(path), { method, token: null, body: method === 'GET' || method === 'DELETE' ? undefined : {} })

      assert.equal(response.status, 401, `${method} ${path}: ${response.bodyText}`)
    }
  })

  it('that wants more than view is closed to a viewer', async () => {
    const token = makeToken(world, 'viewer', ['production=viewer'])

    for (const operation of operations().filter((one) => one['x-permission'] && one['x-permission'] !== 'view')) {
      const { path, method } = operation
      const response = await server.fetch(filled(path), { method, token, body: method === 'GET' || method === 'DELETE' ? undefined : {} })

      assert.equal(response.status, 403, `${method} ${path}: ${response.bodyText}`)
    }
  })

  /* What is wrong with the input is told only to who may: 422 means that they were let in, and nothing happens. */
  for (const [role, permissions] of Object.entries(roles)) {
    it(`is open to ${role} by its permission, and only where it was given`, async () => {
      const here = makeToken(world, `${role}-everywhere`, [`*=${role}`]), elsewhere = makeToken(world, `${role}-staging`, [`staging=${role}`])

      for (const { path, method, operationId, 'x-permission': permission } of operations().filter((one) => one['x-permission'] && one.operationId.split('.').length === 2 && one.tags[0] !== 'server')) {
        const get = method === 'GET' || method === 'DELETE'
        const ask = async (token) => (await server.fetch(filled(path) + (get ? '?zzzzzzzz=1' : ''), { method, token, body: get ? undefined : { zzzzzzzz: 1 } })).status

        assert.equal(await ask(here), permissions.includes(permission) ? 422 : 403, `${role}: ${operationId} (${permission})`)
        if (path.includes('{environment}')) assert.equal(await ask(elsewhere), 403, `${role} of staging: ${operationId}`)
      }
    })
  }

  it('refuses what it does not know', async () => {
    for (const operation of operations().filter((one) => one.operationId.split('.').length === 2 && one.tags[0] !== 'server')) {
      const { path, method } = operation
      const get = method === 'GET' || method === 'DELETE'
      const response = await server.fetch(filled(path) + (get ? '?zzzzzzzz=1' : ''), { method, body: get ? undefined : { zzzzzzzz: 1 } })

      assert.equal(response.status, 422, `${method} ${path}: ${response.bodyText}`)
      assert.equal(response.headers.get('content-type'), 'application/problem+json')
    }
  })
})
