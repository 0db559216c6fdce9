/* Property 3: a failed safety check changes nothing. Property 4: backups are complete and intact. Property 7: a failed rollback leaves the system as it was. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { deployed, obstacles, obstacleWorld } from '../support/obstacles.mjs'
import { World } from '../world.mjs'
import { cases, fingerprint } from './common.mjs'

const project = `project: p
environments:
  production:
    components:
      config: {driver: files, paths: [state/app.env, state/settings.json]}
      db: {driver: sqlite, path: state/app.db}
      flags: {driver: flags, group: beta}
`
const word = fc.stringMatching(/^[A-Za-z0-9 ,.:_-]{0,20}$/)
const content = fc.record({ env: fc.dictionary(fc.constantFrom('ONE', 'TWO', 'THREE'), word, { minKeys: 1 }), settings: fc.dictionary(word, fc.oneof(word, fc.integer(), fc.boolean())), rows: fc.array(word, { maxLength: 5 }), flag: fc.boolean() })

function write(world, { env, settings, rows, flag }) {
  writeFileSync(join(world.app, 'state/app.env'), Object.entries(env).map(([key, value]) => `${key}="${value}"\n`).join(''))
  writeFileSync(join(world.app, 'state/settings.json'), JSON.stringify(settings, null, 2))
  world.sql(`CREATE TABLE IF NOT EXISTS notes (text TEXT); DELETE FROM notes; ${rows.map((text) => `INSERT INTO notes VALUES ('${text}');`).join(' ')}`)
  world.json(['flags', 'production', 'set', 'f', String(flag), '--group', 'beta'])
}

const state = (world) => ({
  files: ['app.env', 'settings.json'].map((name) => readFileSync(join(world.app, 'state', name), 'utf8')),
  rows: world.sql('SELECT group_concat(text, char(10)) FROM notes'),
  flag: world.json(['flags', 'production', 'list']).flags[0].state,
})

describe('property 3: a failed safety check changes nothing', () => {
  it('whatever stands there, whatever the reason for the refusal', () => {
    fc.assert(fc.property(content, content, fc.constantFrom('quarantine', 'failing', 'schema', 'content'), (old, now, reason) => {
      const world = World.bare(project)

      try {
        write(world, old)
        const target = world.json(['record', 'production', '--version', '1.0.0', '--status', reason === 'failing' ? 'failing' : 'passing'])
        if (reason === 'quarantine') world.json(['deployments', 'quarantine', target.id, '--reason', 'test'])
        write(world, { ...now, env: { ...now.env, EXTRA: 'x' } })
        if (reason === 'schema') world.sql('ALTER TABLE notes ADD COLUMN must TEXT NOT NULL DEFAULT 0; ALTER TABLE notes RENAME COLUMN text TO body')
        if (reason === 'content') rmSync(join(world.app, '.deployments/recorded', target.id), { recursive: true })
        world.json(['record', 'production', '--version', '2.0.0'])
        const before = fingerprint(world.app)
        const result = world.run(['rollback', 'production', '--to', target.id, '--reason', 'test', '--yes', '--json'])

        assert.equal(result.code, 3, result.out + result.err)
        assert.deepEqual(fingerprint(world.app, (path) => path.includes('.deployments/')), Object.fromEntries(Object.entries(before).filter(([path]) => !path.includes('.deployments/'))))
        assert.equal(world.json(['runs']).runs.length, 0)
        assert.ok(world.json(['audit', 'search', '--kind', 'refused']).entries.length === 1, 'the refusal is recorded')
      } finally {
        world.remove()
      }
    }), cases(16))
  })
})

/* The same for each check there is: whatever stands there, and whatever of it speaks against the rollback, alone or with others. */
describe('property 3, check by check', () => {
  for (const { name, first, arrange } of obstacles) {
    it(`${name} changes nothing`, () => {
      fc.assert(fc.property(content, fc.subarray(obstacles.filter((other) => other.name !== name && !other.first && other.name !== 'check_timeout'), { maxLength: 2 }), (now, others) => {
        const world = obstacleWorld()

        try {
          const both = deployed(world, first)
          writeFileSync(join(world.app, 'state/app.env'), Object.entries(now.env).map(([key, value]) => `${key}="${value}"\n`).join(''))
          for (const text of now.rows) world.sql(`INSERT INTO notes VALUES ('${text}')`)
          for (const other of others) other.arrange(world, both)
          arrange(world, both) // last: two that write the same script would undo each other
          const before = fingerprint(world.app, (path) => path.includes('.deployments/'))
          const argv = ['rollback', 'production', '--to', both.target.id, '--reason', 'test', '--yes', '--json']
          const result = world.run(argv)

          assert.equal(result.code, 3, result.out + result.err)
          assert.ok(JSON.parse(result.out).findings.some((finding) => finding.name === name && !finding.passed && finding.severity === 'error'), result.out)
          assert.deepEqual(fingerprint(world.app, (path) => path.includes('.deployments/')), before)
          assert.equal(world.json(['runs']).runs.length, 0)
          assert.equal(world.json(['audit', 'search', '--kind', 'refused']).entries.length, 1)
        } finally {
          world.remove()
        }
      }), cases(2))
    })
  }
})

describe('property 4: backups are complete and intact', () => {
  const files = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))

  it('a snapshot holds what was there, and any altered byte is found', () => {
    fc.assert(fc.property(content, content, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (old, now, which, where, flip) => {
      const world = World.bare(project)

      try {
        write(world, { ...old, env: { ...old.env, SIDE: 'old' } })
        const target = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
        write(world, { ...now, env: { ...now.env, SIDE: 'new' } })
        world.json(['record', 'production', '--version', '2.0.0'])
        const before = state(world)
        const { rollbackId } = world.json(['rollback', 'production', '--to', target.id, '--no-preserve-data', '--force', '--reason', 'test', '--yes'])
        assert.equal(world.json(['snapshots', 'verify', rollbackId]).intact, true)
        world.json(['snapshots', 'restore', rollbackId, '--yes'])
        assert.deepEqual(state(world), before)

        const dir = join(world.app, '.deployments/rollback-snapshots', rollbackId)
        const candidates = files(dir).filter((path) => statSync(path).size > 0)
        const victim = candidates[which % candidates.length]
        const bytes = readFileSync(victim)
        bytes[where % bytes.length] ^= flip
        chmodSync(victim, 0o600)
        writeFileSync(victim, bytes)
        const result = world.run(['snapshots', 'verify', rollbackId, '--json'])
        assert.equal(result.code, 6, `${victim} was altered: ${result.out}${result.err}`)
      } finally {
        world.remove()
      }
    }), cases(12))
  })
})

describe('property 7: a failed rollback recovers', () => {
  let world

  before(() => {
    world = World.bare(project)
    mkdirSync(dirname(join(world.app, 'state/x')), { recursive: true })
  })
  after(() => world.remove())

  const step = fc.oneof(
    fc.record({ type: fc.constant('feature-flag'), parameters: fc.record({ flagKey: fc.constantFrom('f', 'g'), targetState: fc.boolean() }) }),
    fc.record({ type: fc.constant('configuration'), parameters: fc.record({ service: fc.constant('config'), configItems: fc.dictionary(fc.constantFrom('ONE', 'TWO'), fc.stringMatching(/^[a-z]{1,8}$/), { minKeys: 1 }) }) }),
  )

  it('everything is as it was before, wherever the failure comes', () => {
    fc.assert(fc.property(content, fc.array(step, { maxLength: 5 }), fc.nat(), (now, steps, position) => {
      write(world, { ...now, env: { ONE: '1', TWO: '2', ...now.env } })
      world.json(['flags', 'production', 'set', 'g', 'true'])
      const before = { ...state(world), flags: world.json(['flags', 'production', 'list']).flags.map(({ key, state }) => [key, state]) }
      const all = [...steps]
      all.splice(position % (steps.length + 1), 0, { type: 'command', parameters: { argv: ['false'], undo: ['true'] } })
      const plan = world.writePlan('plan.json', { id: 'p', name: 'p', steps: all.map((s, index) => ({ id: `s${index}`, ...s })) })
      const result = world.run(['rollback', 'production', '--plan', plan, '--reason', 'test', '--yes', '--json'])

      assert.equal(result.code, 1, result.out + result.err)
      assert.equal(JSON.parse(result.out).status, 'restored')
      assert.deepEqual({ ...state(world), flags: world.json(['flags', 'production', 'list']).flags.map(({ key, state }) => [key, state]) }, before)
    }), cases(15))
  })
})
