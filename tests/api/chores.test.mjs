/* What a server does by itself from time to time: snapshots in advance, reading them again, removing what is old, copying them elsewhere. Nobody asks for it, and the journal tells it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { deployed, obstacleWorld } from '../support/obstacles.mjs'
import { accessKey, secretKey, startS3 } from '../support/s3.mjs'
import { startServer } from '../support/server.mjs'
import { World, withFailpoints } from '../world.mjs'

const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))

/* environments: names; more: members of `snapshots`. */
const project = (environments, more) => `project: shop
environments:
${environments.map((name) => `  ${name}: {readiness: {every: 0}, components: {config: {driver: files, paths: [state/${name}.env]}}}`).join('\n')}
snapshots:
  seal: {key: {file: seal.key}}
  ${more}
`

function make(environments, more) {
  const world = World.bare(project(environments, more))

  writeFileSync(join(world.app, 'seal.key'), randomBytes(32).toString('base64'))
  writeFileSync(join(world.app, 'access.key'), accessKey)
  writeFileSync(join(world.app, 'secret.key'), secretKey)
  for (const name of environments) writeFileSync(join(world.app, `state/${name}.env`), `A=1\nB=${randomBytes(2000).toString('hex')}\n`)
  world.entries = (kind, environment = environments[0]) => world.json(['audit', 'search', '--kind', kind, '--limit', '1000']).entries.filter((entry) => !entry.environment || entry.environment === environment)
  world.snapshots = () => world.json(['snapshots', 'list']).snapshots
  return world
}

describe('the chores of a server', () => {
  let world, server, s3

  before(async () => {
    world = make(['production', 'staging'], '')
    s3 = await startS3(join(world.dir, 'bucket'))
    writeFileSync(join(world.app, 'unship.yaml'), project(['production', 'staging'], `keep: 2
  every: 1s
  verify: {every: 1s, share: 100%}
  copy: {url: "${s3.url}", bucket: ${s3.bucket}, region: ${s3.region}, accessKey: {file: access.key}, secretKey: {file: secret.key}, every: 1s}`))
    server = await startServer(world)
  })
  after(async () => {
    await server?.stop()
    s3?.stop()
    world.remove()
  })

  it('take snapshots in advance, again and again, of every environment', async () => {
    for (const environment of ['production', 'staging'])
      await eventually(() => world.entries('snapshot.taken', environment).length >= 3, { what: `snapshots of ${environment}` })
    const [taken] = world.entries('snapshot.taken')
    assert.equal(taken.actor, 'unship serve')
    assert.equal(taken.data.reason, 'in advance')
    const times = world.entries('snapshot.taken').map(({ at }) => Date.parse(at)).sort((a, b) => a - b)
    for (let i = 1; i < times.length; i++) assert.ok(times[i] - times[i - 1] >= 900, `not more often than they are wanted: ${times}`)
  })

  it('read them again, and remove those that are not to stay', async () => {
    await eventually(() => world.entries('snapshot.pruned').length > 0, { what: 'pruned snapshots' })
    await eventually(() => world.snapshots().some(({ environment, verifiedAt }) => environment === 'production' && verifiedAt), { what: 'a verified snapshot' })
  })

  it('copy them elsewhere', async () => {
    await eventually(() => world.entries('snapshots.copied').length >= 2, { what: 'copies' })
    assert.ok(files(s3.dir).length > 5)
    assert.equal(world.entries('snapshots.copied')[0].actor, 'unship serve')
  })

  it('go on without a word in the log', () => {
    assert.doesNotMatch(server.errors(), /"level":"(warn|error)"/)
  })

  it('end with the server', async () => {
    assert.equal((await server.stop()).code, 0)
    server = null
  })
})

describe('a chore', () => {
  it('that was done is not done again by a restart', async () => {
    const world = make(['production'], 'every: 1h\n  verify: {every: 1s}')
    let server = await startServer(world)

    try {
      await eventually(() => world.entries('snapshot.taken').length === 1, { what: 'the first snapshot' })
      await server.stop()
      const was = world.entries('snapshot.verified').length
      server = await startServer(world)
      /* All are due at once at the start, and snapshots in advance stand first in the table: after this one they have been asked. */
      await eventually(() => world.entries('snapshot.verified').length > was, { what: 'the next chore of the lane' })
      await server.stop()
      assert.equal(world.entries('snapshot.taken').length, 1)
    } finally {
      await server.kill()
      world.remove()
    }
  })

  it('that fails is said once, keeps nobody else from being done, and ends with the server', async () => {
    const world = make(['production', 'staging'], `every: 1s
  copy: {url: "http://127.0.0.1:1", bucket: b, accessKey: {file: access.key}, secretKey: {file: secret.key}, every: 1s}`)
    const server = await startServer(world)

    try {
      await eventually(() => /copy of snapshots/.test(server.errors()), { what: 'the failure in the log' })
      await eventually(() => world.entries('snapshot.taken', 'staging').length >= 3, { what: 'snapshots of the others' })
      assert.equal(server.errors().match(/copy of snapshots/g).length, 1)
      assert.equal((await server.stop()).code, 0)
    } finally {
      await server.kill()
      world.remove()
    }
  })

  it('finds a snapshot that was damaged: an entry, a word in the log, and the others are looked at all the same', async () => {
    const world = make(['production'], 'verify: {every: 1s, share: 100%}')
    const first = world.json(['snapshots', 'create', 'production']).id

    writeFileSync(join(world.app, 'state/production.env'), `A=2\nC=${randomBytes(2000).toString('hex')}\n`)
    const second = world.json(['snapshots', 'create', 'production']).id
    const content = files(join(world.app, '.deployments/rollback-snapshots', first)).filter((path) => path.includes('/config/')).sort((a, b) => statSync(b).size - statSync(a).size)[0]
    const bytes = readFileSync(content), fd = openSync(content, 'r+')

    writeSync(fd, Buffer.from([bytes[bytes.length >> 1] ^ 1]), 0, 1, bytes.length >> 1)
    closeSync(fd)
    const server = await startServer(world)

    try {
      await eventually(() => server.errors().includes(first) && /a snapshot is damaged/.test(server.errors()), { what: 'the word in the log' })
      await eventually(() => world.snapshots().find(({ id }) => id === second)?.verifiedAt, { what: 'the other one' })
    } finally {
      await server.stop()
      world.remove()
    }
  })

  it('waits while a run is unfinished, and comes when it has ended', async () => {
    const world = obstacleWorld({ more: '    readiness: {every: 1h}\n' })
    let server

    try {
      const { target } = deployed(world)

      world.run(['rollback', 'production', '--to', target.id, '--reason', 'test', '--yes'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: 'step.applied' } })
      const [{ id }] = world.json(['runs']).runs

      writeFileSync(join(world.app, 'unship.yaml'), `${readFileSync(join(world.app, 'unship.yaml'), 'utf8')}snapshots: {every: 1s}\n`)
      server = await startServer(world, { env: world.env }) // which takes the run up
      await eventually(() => world.json(['audit', 'search', '--kind', 'snapshot.taken']).entries.some((entry) => entry.data.reason === 'in advance'), { what: 'a snapshot' })
      const order = world.json(['audit', 'search', '--limit', '1000']).entries.reverse()
      const ended = order.findIndex((entry) => entry.kind === 'run.ended' && entry.run === id), taken = order.findIndex((entry) => entry.kind === 'snapshot.taken' && entry.data.reason === 'in advance')
      assert.ok(ended >= 0 && taken > ended, 'not in the middle of the run')
    } finally {
      await server?.stop()
      world.remove()
    }
  })
})
