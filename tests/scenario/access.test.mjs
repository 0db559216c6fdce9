/* Principals, tokens and sessions on the command line: what is shown, what is kept, and that secrets are nowhere to be found. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World, release } from '../world.mjs'

const canary = 'canary-7f3a9c-correct-horse'

function filesOf(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesOf(path) : [path]
  })
}

describe('people', () => {
  let world
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production: {components: {flags: {driver: flags}}}\n  staging: {components: {flags: {driver: flags}}}\n')
  })
  after(() => world.remove())

  it('are added with a password from standard input, changed and removed', () => {
    const ana = world.json(['people', 'add', 'ana', '--grant', '*=admin', '--password'], { input: `${canary}\n` })
    assert.equal(ana.password, true)
    assert.deepEqual(ana.grants, [{ environment: '*', role: 'admin', permissions: [] }])
    world.json(['people', 'add', 'ben', '--grant', 'production=operator+force', '--grant', 'staging=viewer'])
    assert.deepEqual(world.json(['people', 'show', 'ben']).grants, [
      { environment: 'production', role: 'operator', permissions: ['force'] }, { environment: 'staging', role: 'viewer', permissions: [] },
    ])
    assert.equal(world.json(['people', 'change', 'ben', '--grant', 'staging=admin']).grants.length, 1)
    assert.match(world.run(['people', 'list']).out, /ben +person +staging=admin/)
    assert.equal(world.run(['people', 'remove', 'ben', '--yes']).code, 0)
    assert.deepEqual(world.json(['people', 'list']).people.map((person) => person.name), ['ana'])
  })

  it('are asked for the password at a terminal, twice, and do not see it', () => {
    const talk = [['password: ', `${canary}-2\n`], ['once more: ', `${canary}-2\n`]]
    const { code, screen } = world.terminal(['people', 'add', 'cho', '--password'], talk)
    assert.equal(code, 0, screen)
    assert.doesNotMatch(screen, /canary/)
    const { code: other } = world.terminal(['people', 'add', 'dan', '--password'], [['password: ', `${canary}-2\n`], ['once more: ', `${canary}-3\n`]])
    assert.equal(other, 2)
    assert.equal(world.run(['people', 'show', 'dan']).code, 2)
  })

  it('are not added when no password is given', () => {
    const { code, err } = world.run(['people', 'add', 'eva', '--password'], { input: '' })
    assert.equal(code, 2)
    assert.match(err, /standard input/)
    assert.doesNotMatch(err, /resume/)
    assert.equal(world.run(['people', 'show', 'eva']).code, 2)
  })

  it('cannot be given a password as an option', () => {
    const { code, err } = world.run(['people', 'add', 'eva', `--password=${canary}`])
    assert.equal(code, 2)
    assert.doesNotMatch(err, /canary/)
    assert.equal(world.run(['people', 'show', 'eva']).code, 2)
  })

  for (const [what, argv, codes] of [
    ['a short password', ['people', 'add', 'x', '--password'], 2],
    ['an unknown environment', ['people', 'add', 'x', '--grant', 'prodction=viewer'], 2],
    ['an unknown role', ['people', 'add', 'x', '--grant', 'production=king'], 2],
    ['a permission that is no extra', ['people', 'add', 'x', '--grant', 'production=viewer+administer'], 2],
    ['a name twice', ['people', 'add', 'ana'], 4],
    ['the name of the first start', ['people', 'add', 'bootstrap'], 2],
    ['a name with a line break', ['people', 'add', 'a\nb'], 2],
    ['nothing to change', ['people', 'change', 'ana'], 2],
  ]) {
    it(`refuses ${what}`, () => assert.equal(world.run(argv, { input: 'short\n' }).code, codes))
  }

  it('shows a token once, alone on stdout', () => {
    const { out, err } = world.run(['tokens', 'create', 'ci', '--principal', 'ana', '--permission', 'view', '--environment', 'staging'])
    assert.match(out, /^unship_[A-Za-z0-9_-]{43}\n$/)
    assert.match(err, /only time/)
    const listed = world.run(['tokens', 'list', '--json']).out
    assert.doesNotMatch(listed, /unship_/)
    const [token] = JSON.parse(listed).tokens
    assert.deepEqual([token.narrowed, token.permissions, token.environments], [true, ['view'], ['staging']])
    assert.equal(world.run(['tokens', 'revoke', token.id]).code, 0)
    assert.equal(world.json(['tokens', 'list']).tokens.length, 0)
    assert.equal(world.run(['tokens', 'revoke', token.id]).code, 4)
  })

  it('does not give a token that is not narrowed more than its owner has', () => {
    world.json(['people', 'add', 'gil', '--grant', 'production=viewer'])
    const { err } = world.run(['tokens', 'create', 'whole', '--principal', 'gil'])
    assert.match(err, /may: whatever its owner may\n/)
    const { out } = world.run(['tokens', 'list', '--principal', 'gil'])
    assert.match(out, /whatever its owner may\n/)
    const [token] = world.json(['tokens', 'list', '--principal', 'gil']).tokens
    assert.deepEqual([token.narrowed, token.permissions], [false, undefined])
  })

  it('never finds a password or a token again: not in the store, not in the journal, not in the list of processes', async () => {
    const token = world.json(['tokens', 'create', 'canary', '--principal', 'ana']).token
    const child = spawn(release, ['-C', world.app, 'people', 'add', 'fay', '--password'], { stdio: ['pipe', 'pipe', 'pipe'] })
    const arguments_ = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')
    child.stdin.end(`${canary}-4\n`)
    await once(child, 'exit')
    assert.doesNotMatch(arguments_, /canary/)
    assert.equal(world.json(['people', 'show', 'fay']).password, true)
    for (const path of filesOf(world.app)) {
      const content = readFileSync(path)
      assert.equal(content.includes(canary), false, path)
      assert.equal(content.includes(token), false, path)
    }
    const journal = JSON.stringify(world.json(['audit', 'search', '--limit', '1000']))
    assert.doesNotMatch(journal, /argon2|canary-7f3a9c/)
    assert.equal(world.json(['audit', 'verify']).intact, true)
  })
})
