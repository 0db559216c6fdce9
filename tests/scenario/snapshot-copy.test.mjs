/* A second copy of what is kept, in an S3-compatible store: after a lost disk the snapshots come back from there. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { accessKey, secretKey, startS3 } from '../support/s3.mjs'
import { World, withFailpoints } from '../world.mjs'

const canary = `canary-${randomBytes(12).toString('hex')}`
const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))

describe('a copy of the snapshots elsewhere', () => {
  let world, s3, run, first

  const project = (copy) => `project: shop
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env]}
snapshots:
  seal: {key: {file: seal.key}}
  copy: ${copy ?? `{url: "${s3.url}", bucket: ${s3.bucket}, region: ${s3.region}, accessKey: {file: access.key}, secretKey: {file: secret.key}}`}
`
  const write = (greeting) => writeFileSync(join(world.app, 'state/app.env'), `GREETING=${greeting}\nPASSWORD=${canary}\n`)

  before(async () => {
    world = World.bare('project: shop\n')
    s3 = await startS3(join(world.dir, 'bucket'))
    writeFileSync(join(world.app, 'unship.yaml'), project())
    writeFileSync(join(world.app, 'seal.key'), randomBytes(32).toString('base64'))
    writeFileSync(join(world.app, 'access.key'), accessKey)
    writeFileSync(join(world.app, 'secret.key'), `${secretKey}\n`)
    write('one')
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    write('two')
    world.json(['record', 'production', '--version', '2.0.0'])
    run = world.json(['rollback', 'production', '--to', first.id, '--reason', 'test', '--yes']).rollbackId
  })
  after(() => {
    s3.stop()
    world.remove()
  })

  it('sends all of it once, and nothing in clear', () => {
    const sent = world.json(['snapshots', 'copy'])

    assert.ok(sent.files > 10)
    assert.ok(!files(s3.dir).some((path) => readFileSync(path).includes(canary)))
    const again = world.json(['snapshots', 'copy'])
    assert.ok(again.files < sent.files / 2, `${again.files} files were sent again`)
    assert.ok(again.there > 0)
  })

  it('sends what is new, and says beforehand how much', () => {
    write('three')
    world.json(['snapshots', 'create', 'production'])
    const { files: would } = world.json(['snapshots', 'copy', '--dry-run']), before = files(s3.dir).length

    assert.equal(files(s3.dir).length, before, 'a dry run sends nothing')
    assert.equal(world.json(['snapshots', 'copy']).files, would)
  })

  it('goes on after it was killed', () => {
    write('four')
    world.json(['snapshots', 'create', 'production'])
    const killed = world.run(['snapshots', 'copy'], { program: withFailpoints, env: { UNSHIP_FAILPOINT: 'copy.sent:3' } })
    assert.ok(killed.signal === 'SIGKILL' || killed.code === 137)
    world.json(['snapshots', 'copy'])
  })

  it('brings them back when the disk is lost', () => {
    const fresh = join(world.dir, 'fresh')

    cpSync(world.app, fresh, { recursive: true, filter: (path) => !path.includes('.deployments') })
    const killed = world.run(['snapshots', 'fetch'], { dir: fresh, program: withFailpoints, env: { UNSHIP_FAILPOINT: 'copy.fetched:5' } })
    assert.ok(killed.signal === 'SIGKILL' || killed.code === 137)
    assert.equal(world.json(['snapshots', 'list'], { dir: fresh }).snapshots.length, 0)
    world.json(['snapshots', 'fetch'], { dir: fresh })
    const { snapshots } = world.json(['snapshots', 'list'], { dir: fresh })
    assert.deepEqual(snapshots.map(({ id }) => id).sort(), world.json(['snapshots', 'list']).snapshots.map(({ id }) => id).sort())
    for (const { id } of snapshots) assert.equal(world.json(['snapshots', 'verify', id], { dir: fresh }).intact, true, id)
    world.json(['snapshots', 'export', run, join(world.dir, 'out')], { dir: fresh })
    assert.ok(files(join(world.dir, 'out')).some((path) => readFileSync(path, 'utf8').includes(`GREETING=two\nPASSWORD=${canary}`)))
    assert.equal(world.json(['snapshots', 'fetch'], { dir: fresh }).files, 0, 'what is there is not fetched again')
  })

  it('does not mix two stores', () => {
    const other = join(world.dir, 'other')

    cpSync(world.app, other, { recursive: true, filter: (path) => !path.includes('.deployments') })
    world.json(['record', 'production', '--version', '1'], { dir: other })
    const result = world.run(['snapshots', 'fetch'], { dir: other })
    assert.equal(result.code, 3)
    assert.match(result.err, /another snapshot store/)
  })

  it('says what is wrong with the other side', () => {
    const clear = (text) => assert.doesNotMatch(text, new RegExp(secretKey.replace(/[/+]/g, '.')))

    writeFileSync(join(world.app, 'secret.key'), 'wrong')
    const wrong = world.run(['snapshots', 'copy'])
    assert.equal(wrong.code, 3)
    assert.match(wrong.err, /SignatureDoesNotMatch/)
    writeFileSync(join(world.app, 'secret.key'), secretKey)
    writeFileSync(join(s3.dir, '.full'), '')
    write('five')
    world.json(['snapshots', 'create', 'production'])
    const full = world.run(['snapshots', 'copy'])
    assert.notEqual(full.code, 0)
    assert.match(full.err, /507/)
    clear(full.err)
    rmSync(join(s3.dir, '.full'))
    writeFileSync(join(world.app, 'unship.yaml'), project(`{url: "${s3.url}", bucket: nothing, accessKey: {file: access.key}, secretKey: {file: secret.key}, region: ${s3.region}}`))
    assert.match(world.run(['snapshots', 'copy']).err, /NoSuchBucket/)
    writeFileSync(join(world.app, 'unship.yaml'), project('{url: "http://127.0.0.1:9", bucket: b, accessKey: {file: access.key}, secretKey: {file: secret.key}}'))
    const away = world.run(['snapshots', 'copy'])
    assert.equal(away.code, 6)
    assert.match(away.err, /refused/)
  })

  it('wants snapshots to be sealed', () => {
    writeFileSync(join(world.app, 'unship.yaml'), project().replace(/  seal:.*\n/, ''))
    const result = world.run(['config', 'check'])

    assert.equal(result.code, 2)
    assert.match(result.err + result.out, /only sealed snapshots leave this machine/)
    assert.ok(existsSync(join(world.app, '.deployments')))
  })
})
