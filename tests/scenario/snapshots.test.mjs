/* Snapshots as their users see them: sealed at rest, taken before each run and in advance, verified, exported, pruned, their key rotated. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

const canary = `canary-${randomBytes(12).toString('hex')}`
const key = () => randomBytes(32).toString('base64')

const project = (seal) => `project: shop
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
      db: {driver: sqlite, path: state/app.db}
${seal}
`
const sealed = (more = '') => project(`snapshots: {keep: 2, seal: {key: {file: seal.key}${more}}}`)

const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))
const holding = (dir, text) => files(dir).filter((path) => readFileSync(path).includes(text))

function write(world, greeting) {
  writeFileSync(join(world.app, 'state/app.env'), `GREETING=${greeting}\nPASSWORD=${canary}\n`)
  world.sql(`CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO notes (text) VALUES ('${canary} ${greeting}')`)
}

describe('sealed snapshots', () => {
  let world, first, second, run

  before(() => {
    world = World.bare(sealed())
    writeFileSync(join(world.app, 'seal.key'), `${key()}\n`, { mode: 0o600 })
    write(world, 'one')
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    write(world, 'two')
    second = world.json(['record', 'production', '--version', '2.0.0'])
  })
  after(() => world.remove())

  const state = () => join(world.app, '.deployments')
  const greeting = () => /^GREETING=(.*)$/m.exec(readFileSync(join(world.app, 'state/app.env'), 'utf8'))[1]

  it('keep no content in clear: not with a deployment, not of a run', () => {
    assert.deepEqual(holding(state(), canary), [])
    run = world.json(['rollback', 'production', '--to', first.id, '--no-preserve-data', '--force', '--reason', 'test', '--yes']).rollbackId
    assert.equal(greeting(), 'one')
    assert.equal(world.sql('SELECT count(*) FROM notes'), '1')
    assert.deepEqual(holding(state(), canary), [])
  })

  it('show what they hold by its names', () => {
    const dir = join(state(), 'rollback-snapshots', run)
    const { content, metadata } = world.json(['snapshots', 'show', run])

    assert.equal(JSON.parse(readFileSync(join(dir, 'metadata.json'), 'utf8')).rollbackId, run)
    assert.equal(metadata.fromDeploymentId, second.id)
    for (const { path, type } of content) if (type === 'file') assert.ok(existsSync(join(dir, path)), path)
    assert.ok(content.some(({ path }) => path === 'state/production-state.json'))
    assert.ok(content.some(({ path }) => path.startsWith('database/component-db/')))
  })

  it('are listed as sealed, and verified', () => {
    const list = world.json(['snapshots', 'list'])

    assert.equal(list.sealed, true)
    assert.ok(list.snapshots.some(({ id, kind }) => id === run && kind === 'run'))
    assert.match(world.run(['snapshots', 'list', 'prod'], { codes: [2] }).err, /no environment 'prod'; there is production/)
    assert.equal(world.json(['snapshots', 'verify', run]).intact, true)
  })

  it('are given in clear to who may export them, the whole or one path', () => {
    const to = join(world.dir, 'exported'), part = join(world.dir, 'part')

    world.json(['snapshots', 'export', run, to])
    assert.ok(holding(to, canary).length >= 2)
    world.json(['snapshots', 'export', run, part, '--path', 'config'])
    assert.deepEqual(readdirSync(part).sort(), readdirSync(join(to, 'config')).sort())
    assert.equal(world.run(['snapshots', 'export', run, part]).code, 2, 'what is there is not written over')
  })

  it('return what was there', () => {
    world.json(['undo', run, '--yes'])
    assert.equal(greeting(), 'two')
    assert.equal(world.sql('SELECT count(*) FROM notes'), '2')
    assert.deepEqual(holding(state(), canary), [])
  })

  it('are taken in advance; what is there already takes no room again', () => {
    const one = world.json(['snapshots', 'create', 'production'])
    const again = world.json(['snapshots', 'create', 'production'])

    assert.equal(one.kind, 'advance')
    assert.equal(again.files, one.files)
    assert.ok(again.newBytes < 4096, `${again.newBytes} bytes are new`)
    world.sql('DELETE FROM notes')
    const plan = world.writePlan('restore.json', { id: 'restore', name: 'Restore', steps: [{ id: 'db', type: 'data', parameters: { database: 'db', snapshotId: one.id } }] })
    world.json(['rollback', 'production', '--plan', plan, '--reason', 'rows were deleted', '--yes'])
    assert.equal(world.sql('SELECT count(*) FROM notes'), '2')
  })

  it('say which key is missing or wrong, and lose nothing by it', () => {
    const right = readFileSync(join(world.app, 'seal.key'))

    writeFileSync(join(world.app, 'seal.key'), `${key()}\n`)
    const wrong = world.run(['snapshots', 'verify', run])
    assert.notEqual(wrong.code, 0)
    assert.match(wrong.err, /key/)
    writeFileSync(join(world.app, 'seal.key'), 'too short\n')
    assert.match(world.run(['snapshots', 'list']).err, /32 characters/)
    rmSync(join(world.app, 'seal.key'))
    assert.match(world.run(['record', 'production', '--version', '9']).err, /seal\.key/)
    writeFileSync(join(world.app, 'seal.key'), right)
    assert.equal(world.json(['snapshots', 'verify', run]).intact, true)
  })

  it('follow a new key without being written again', () => {
    const before = files(join(state(), 'snapshot-store/sealed')).map((path) => [path, statSync(path).mtimeMs])

    writeFileSync(join(world.app, 'old.key'), readFileSync(join(world.app, 'seal.key')))
    writeFileSync(join(world.app, 'seal.key'), `${key()}\n`)
    writeFileSync(join(world.app, 'unship.yaml'), sealed(', version: 2, previous: {1: {file: old.key}}'))
    assert.equal(world.json(['snapshots', 'verify', run]).intact, true)
    assert.ok(world.json(['snapshots', 'rotate']).keys > 0)
    rmSync(join(world.app, 'old.key'))
    writeFileSync(join(world.app, 'unship.yaml'), sealed(', version: 2'))
    assert.equal(world.json(['snapshots', 'verify', run]).intact, true)
    assert.deepEqual(files(join(state(), 'snapshot-store/sealed')).map((path) => [path, statSync(path).mtimeMs]), before)
  })

  it('come from a program, too: the key may be anywhere', () => {
    writeFileSync(join(world.app, 'unship.yaml'), project(`snapshots: {seal: {version: 2, key: {command: [cat, seal.key]}}}`))
    assert.equal(world.json(['snapshots', 'verify', run]).intact, true)
    writeFileSync(join(world.app, 'unship.yaml'), project(`snapshots: {seal: {version: 2, key: {command: [cat, nothing]}}}`))
    assert.match(world.run(['snapshots', 'verify', run]).err, /cat ended with exit code 1/)
    writeFileSync(join(world.app, 'unship.yaml'), sealed(', version: 2'))
  })

  it('go when they are old, with the room that they took; the rest stays whole', () => {
    for (const version of ['3.0.0', '4.0.0', '5.0.0']) {
      write(world, version)
      world.json(['snapshots', 'create', 'production'])
    }
    const { pruned, bytes } = world.json(['snapshots', 'prune', '--yes'])
    assert.ok(pruned.length >= 3)
    assert.ok(bytes > 0)
    const { snapshots } = world.json(['snapshots', 'list'])
    assert.equal(snapshots.filter(({ kind }) => kind === 'advance').length, 2)
    for (const { id } of snapshots) assert.equal(world.json(['snapshots', 'verify', id]).intact, true, id)
    assert.equal(world.run(['snapshots', 'verify', pruned[0]]).code, 2)
  })
})

describe('snapshots without a key', () => {
  it('say so, and can be read as they stand', () => {
    const world = World.bare(project(''))

    try {
      write(world, 'one')
      const first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
      write(world, 'two')
      world.json(['record', 'production', '--version', '2.0.0'])
      const { rollbackId } = world.json(['rollback', 'production', '--to', first.id, '--reason', 'test', '--yes'])
      const { out } = world.run(['snapshots', 'list', 'production'])
      assert.match(out, /not encrypted/)
      assert.ok(holding(join(world.app, '.deployments/rollback-snapshots', rollbackId), canary).length > 0)
      /* A key that comes later leaves them as they are. */
      writeFileSync(join(world.app, 'seal.key'), key())
      writeFileSync(join(world.app, 'unship.yaml'), sealed())
      assert.equal(world.json(['snapshots', 'verify', rollbackId]).intact, true)
      world.json(['undo', rollbackId, '--yes'])
    } finally {
      world.remove()
    }
  })
})
