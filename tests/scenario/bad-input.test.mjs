/* What a tired person, a broken disk or a careless driver can hand to unship: each ends in a clear error with its exit code, changes nothing, and leaves an intact store. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

/* The command ends with `code`, says `message` on stderr and offers a next thing to do; nothing that it prints looks like a crash. */
function fails(world, argv, code, message, options = {}) {
  const result = world.run(argv, options)

  assert.equal(result.signal, null, `ended by ${result.signal}`)
  assert.ok([code].flat().includes(result.code), `ended with ${result.code}, not ${code}: unship ${argv.join(' ')}: ${result.out}${result.err}`)
  assert.match(result.err, message)
  assert.doesNotMatch(result.err, /internal error|Assertion|Sanitizer|core dumped/)
  return result
}

function intact(world) {
  assert.equal(world.json(['audit', 'verify']).intact, true)
  assert.equal(spawnSync('sqlite3', [join(world.app, '.deployments/unship.db'), 'PRAGMA integrity_check'], { encoding: 'utf8' }).stdout.trim(), 'ok')
}

const flagsOnly = `project: app
environments:
  production:
    components:
      flags: {driver: flags}
`

/* A tree without the state directory, as text: to see that nothing changed. */
function listing(dir) {
  return spawnSync('find', [dir, '-path', '*/.git', '-prune', '-o', '-path', '*/.deployments', '-prune', '-o', '-printf', '%P %y %s %T@ %l\n'], { encoding: 'utf8' })
    .stdout.split('\n').sort().join('\n')
}

describe('a repository that is not as expected', () => {
  const worlds = []
  const bare = (project) => {
    const world = World.bare(project)
    worlds.push(world)
    return world
  }
  after(() => worlds.forEach((world) => world.remove()))

  it('an empty directory: every command says that there is no project, and what to do', () => {
    const world = bare(flagsOnly)
    const dir = mkdtempSync(join(world.dir, 'empty-'))

    for (const argv of [['status'], ['config', 'check'], ['rollback', 'production', '--reason', 'x', '--yes'], ['record', 'production', '--version', '1.0.0'], ['audit', 'verify'], ['resume'], ['flags', 'production', 'list']]) {
      const result = world.run(argv, { dir })
      assert.equal(result.code, 2, argv.join(' '))
      assert.match(result.err, /there is no unship\.yaml in .* or above it; `unship init` writes one/)
    }
    assert.deepEqual(readdirSync(dir), [])
  })

  it('a directory without a repository: versions says so, and a release of it is an error of that component', () => {
    const world = bare('project: app\nenvironments:\n  production:\n    components:\n      code: {driver: git-release, repo: ., root: deploy}\n')

    fails(world, ['versions'], 2, /not a git repository|no git repository/i)
    const result = world.run(['record', 'production', '--version', '1.0.0'])
    assert.match(result.err, /code: nothing is there/)
    intact(world)
  })

  it('a bare repository is as good as any other', () => {
    const world = bare('project: app\nenvironments:\n  production:\n    components:\n      code: {driver: git-release, repo: repo.git, root: deploy}\n')
    const work = join(world.dir, 'work')
    const git = (cwd, ...argv) => assert.equal(spawnSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...argv], { cwd }).status, 0, argv.join(' '))

    mkdirSync(work)
    git(work, 'init', '-q', '-b', 'main')
    for (const version of ['1.0.0', '1.1.0']) {
      writeFileSync(join(work, 'a'), version)
      git(work, 'add', 'a')
      git(work, 'commit', '-q', '-m', version)
      git(work, 'tag', `v${version}`)
    }
    git(world.app, 'clone', '-q', '--bare', work, 'repo.git')
    for (const version of ['v1.0.0', 'v1.1.0']) {
      const plan = world.writePlan('deploy.json', { id: 'd', name: 'd', steps: [{ id: 'r', type: 'deployment', parameters: { service: 'code', version, environment: 'production' }, timeout: 20 }] })
      world.json(['rollback', 'production', '--plan', plan, '--reason', 'deploy', '--yes'])
      world.json(['record', 'production', '--version', version.slice(1), '--status', 'passing'])
    }
    world.json(['rollback', 'production', '--reason', 'bad', '--yes'])
    assert.equal(readFileSync(join(world.app, 'deploy/current/a'), 'utf8'), '1.0.0')
    intact(world)
  })

  it('a detached head and tags that are no versions: listed as what they are, taken as what is asked for', () => {
    const world = bare('project: app\nenvironments:\n  production:\n    components:\n      code: {driver: git-release, repo: ., root: deploy}\n')

    world.git('init', '-q', '-b', 'main')
    world.git('config', 'user.name', 'test')
    world.git('config', 'user.email', 'test@example.com')
    for (const name of ['v1.0.0', 'nightly', 'release-of-tuesday', 'v1', '1.2.3.4.5']) {
      writeFileSync(join(world.app, 'a'), name)
      world.git('add', 'a')
      world.git('commit', '-q', '-m', name)
      world.git('tag', name)
    }
    world.git('checkout', '-q', '--detach', 'nightly')
    const result = world.run(['versions'])
    assert.equal(result.code, 0, result.err)
    for (const name of ['v1.0.0', 'nightly', 'release-of-tuesday']) assert.match(result.out, new RegExp(`^${name.replaceAll('.', '\\.')} `, 'm'))
    assert.match(result.out, /^v1\.0\.0 +tag semver/m)
    assert.doesNotMatch(result.out, /^nightly +tag semver/m)
    const plan = (version) => world.writePlan('p.json', { id: 'd', name: 'd', steps: [{ id: 'r', type: 'deployment', parameters: { service: 'code', version, environment: 'production' }, timeout: 20 }] })
    world.json(['rollback', 'production', '--plan', plan('nightly'), '--reason', 'x', '--yes'])
    assert.equal(readFileSync(join(world.app, 'deploy/current/a'), 'utf8'), 'nightly')
    const before = listing(join(world.app, 'deploy'))
    for (const missing of ['v9.9.9', 'no such tag', '../../etc', '--upload-pack=x', '']) {
      const wrong = world.run(['rollback', 'production', '--plan', plan(missing), '--reason', 'x', '--yes'])
      assert.ok([1, 2, 3].includes(wrong.code), `${missing}: ${wrong.code} ${wrong.err}`)
      assert.ok(wrong.err.includes(missing || 'version'), wrong.err)
    }
    assert.equal(listing(join(world.app, 'deploy')), before)
    intact(world)
  })

  it('a repository of 50,000 commits is listed to its limit and released from', () => {
    const world = bare('project: app\nenvironments:\n  production:\n    components:\n      code: {driver: git-release, repo: ., root: deploy}\n')
    let stream = ''

    for (let i = 1; i <= 50000; i++)
      stream += `commit refs/heads/main\nmark :${i}\ncommitter t <t@example.com> ${1700000000 + i} +0000\ndata 1\nx\n${i > 1 ? `from :${i - 1}\n` : ''}M 100644 inline a\ndata ${String(i).length}\n${i}\n\n`
    for (let i = 1; i <= 50; i++) stream += `reset refs/tags/v1.${i}.0\nfrom :${i * 1000}\n\n`
    world.git('init', '-q', '-b', 'main')
    const imported = spawnSync('git', ['fast-import', '--quiet'], { cwd: world.app, input: stream })
    assert.equal(imported.status, 0, String(imported.stderr))
    const result = world.run(['versions', 'production', '--json'])
    assert.equal(result.code, 0, result.err)
    const text = JSON.stringify(JSON.parse(result.out))
    assert.match(text, /v1\.50\.0/)
    assert.ok(text.length < 5e6, 'a limit is kept')
    const plan = world.writePlan('p.json', { id: 'd', name: 'd', steps: [{ id: 'r', type: 'deployment', parameters: { service: 'code', version: 'v1.1.0', environment: 'production' }, timeout: 20 }] })
    world.json(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'])
    assert.equal(readFileSync(join(world.app, 'deploy/current/a'), 'utf8'), '1000')
    intact(world)
  })
})

describe('a plan that is wrong', () => {
  let world, listed
  const step = (id, more = {}) => ({ id, type: 'feature-flag', parameters: { flagKey: id, targetState: false }, timeout: 5, ...more })
  const plan = (steps, more = {}) => ({ id: 'p', name: 'P', steps, ...more })

  before(() => {
    world = World.bare(flagsOnly)
    world.run(['flags', 'production', 'set', 'a', 'on'])
    listed = JSON.stringify(world.json(['flags', 'production', 'list']))
  })
  afterEach(() => {
    assert.equal(JSON.stringify(world.json(['flags', 'production', 'list'])), listed, 'a flag changed')
    assert.equal(world.json(['runs']).runs.length, 0, 'a run was made')
    intact(world)
  })
  after(() => world.remove())

  const both = (text, message, code = 'invalid') => {
    const file = world.writePlan('plan.yaml', text)

    const checked = fails(world, ['plan', 'check', file], 2, message)
    assert.match(checked.err + checked.out, /plan\.yaml:\d+:\d+/, 'the place is named')
    fails(world, ['rollback', 'production', '--plan', file, '--reason', 'x', '--yes'], 2, message)
    const answer = JSON.parse(world.run(['plan', 'check', file, '--json']).out)
    assert.equal(answer.error.code, code)
  }

  it('with a cycle', () => both(plan([step('a', { needs: ['c'] }), step('b', { needs: ['a'] }), step('c', { needs: ['b'] })]), /in a circle: a -> c -> b -> a/))
  it('with a step that needs itself', () => both(plan([step('a', { needs: ['a'] })]), /in a circle: a -> a/))
  it('with a need that is no step', () => both(plan([step('first', { needs: ['frist'] })]), /frist/))
  it('with an unknown type, and names the nearest', () => both(plan([step('a', { type: 'feature-falg' })]), /feature-falg.*feature-flag/))
  it('with a missing parameter', () => both(plan([step('a', { parameters: { flagKey: 'a' } })]), /targetState/))
  it('with an unknown parameter, and names the nearest', () => both(plan([step('a', { parameters: { flagKey: 'a', targetSate: false } })]), /targetSate.*targetState/))
  it('with a timeout of 0', () => both(plan([step('a', { timeout: 0 })]), /timeout/))
  it('with a negative timeout', () => both(plan([step('a', { timeout: -1 })]), /timeout/))
  it('with a timeout that is no number', () => both(plan([step('a', { timeout: 'soon' })]), /timeout.*soon|soon.*timeout/))
  it('with 10,000 steps: that is the limit, and it is planned; with one more it is an error', () => {
    const steps = Array.from({ length: 10001 }, (_, i) => step(`s${i}`))
    const file = world.writePlan('many.json', plan(steps.slice(0, 10000)))

    assert.equal(world.json(['plan', 'check', file]).steps, 10000)
    assert.equal(world.json(['rollback', 'production', '--plan', file, '--dry-run']).plan.steps.length, 10000)
    both(plan(steps), /10000/, 'too-large')
  })
  it('with no steps', () => both(plan([]), /at least one step/))
  it('with two steps of one id', () => both(plan([step('a'), step('a')]), /'a'/))
  it('with duplicate keys', () => both('id: p\nname: P\nid: q\nsteps: []\n', /'id' stands here a second time/))
  it('with invalid UTF-8', () => {
    const file = join(world.dir, 'plan.yaml')

    writeFileSync(file, Buffer.concat([Buffer.from('id: p\nname: "'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"\nsteps: []\n')]))
    fails(world, ['plan', 'check', file], 2, /UTF-8/i)
    fails(world, ['rollback', 'production', '--plan', file, '--reason', 'x', '--yes'], 2, /plan\.yaml.*UTF-8|UTF-8.*plan\.yaml/i)
  })
  it('with a YAML bomb', () => {
    let text = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'

    for (let i = 1; i < 10; i++) text += `a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`).join(', ')}]\n`
    both(text, /alias|too large|anchors/i, 'too-large')
  })
  it('nested without end', () => both('['.repeat(100000), /deep|nest|large/i, 'too-large'))
  it('that is empty', () => fails(world, ['plan', 'check', world.writePlan('plan.yaml', '')], 2, /empty|object|mapping/i))
  it('that is a list', () => both('- a\n- b\n', /object|mapping|map/i))
  it('that is no YAML', () => both('id: [unclosed\nname: "x\n', /plan\.yaml:\d+:\d+/))
  it('that is a directory', () => fails(world, ['plan', 'check', world.dir], [1, 2], /not a regular file/))
  it('that is not there', () => fails(world, ['rollback', 'production', '--plan', 'nowhere.yaml', '--reason', 'x', '--yes'], 2, /nowhere\.yaml/))
  it('that is a device without end', () => fails(world, ['plan', 'check', '/dev/zero'], [1, 2], /not a regular file/))
  it('that names what the environment does not have', () => {
    const file = world.writePlan('plan.yaml', plan([{ id: 'r', type: 'deployment', parameters: { service: 'fronted', version: '1.0.0', environment: 'production' }, timeout: 5 }]))

    fails(world, ['rollback', 'production', '--plan', file, '--reason', 'x', '--yes'], 2, /fronted/)
  })
})

describe('a project file that is wrong', () => {
  let world
  const project = (text) => {
    writeFileSync(join(world.app, 'unship.yaml'), text)
    return world
  }

  before(() => {
    world = World.bare(flagsOnly)
  })
  after(() => world.remove())

  for (const [what, text, message] of [
    ['duplicate keys', flagsOnly + 'project: other\n', /unship\.yaml:6:1: the key 'project' stands here a second time/],
    ['an unknown key', flagsOnly.replace('components', 'compnents'), /unship\.yaml:4:\d+.*compnents.*components/],
    ['an unknown driver', flagsOnly.replace('driver: flags', 'driver: flgas'), /unship\.yaml:5:\d+.*flgas/],
    ['a tab for indentation', 'project: app\nenvironments:\n\tproduction: {}\n', /unship\.yaml:3:\d+/],
    ['a cycle of needs', flagsOnly.replace('{driver: flags}', '{driver: flags, needs: [other]}') + '      other: {driver: flags, needs: [flags]}\n', /cycle|need/i],
    ['a secret as plain text', 'project: app\nenvironments:\n  production:\n    components: {f: {driver: flags}}\n    notify: [{channel: webhook, url: "https://example.com", secret: hunter2}]\n', /unship\.yaml:5:\d+/],
    ['nothing in it', '', /unship\.yaml/],
  ])
    it(`${what}: config check and every other command say where`, () => {
      project(text)
      const checked = world.run(['config', 'check'])
      assert.equal(checked.code, 2)
      assert.match(checked.err, message)
      assert.doesNotMatch(checked.err + checked.out, /hunter2/)
      assert.equal(world.run(['record', 'production', '--version', '1']).code, 2)
      assert.equal(existsSync(join(world.app, '.deployments/unship.db')), false, 'no store is made for a project that cannot be read')
    })
})

describe('a state directory that cannot be used', () => {
  let world
  const state = () => join(world.app, '.deployments')

  before(() => {
    world = World.bare(flagsOnly)
    world.run(['flags', 'production', 'set', 'a', 'on'])
    world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.run(['flags', 'production', 'set', 'a', 'off'])
    world.json(['record', 'production', '--version', '2.0.0'])
  })
  after(() => world.remove())

  it('read-only: reading and writing end with 6 and say which file; writable again, all is there', (t) => {
    if (spawnSync('mount', ['--bind', state(), state()]).status !== 0) return t.skip('mount --bind is not permitted here')
    try {
      assert.equal(spawnSync('mount', ['-o', 'remount,bind,ro', state()]).status, 0)
      fails(world, ['flags', 'production', 'set', 'a', 'on'], 6, /\.deployments.*(read-only|readonly|not writable)|(read-only|readonly).*\.deployments/i)
      fails(world, ['rollback', 'production', '--reason', 'x', '--yes'], 6, /\.deployments/)
      fails(world, ['record', 'production', '--version', '3.0.0'], 6, /\.deployments/)
    } finally {
      spawnSync('umount', [state()])
    }
    assert.equal(world.json(['flags', 'production', 'list']).flags[0].state, 'false')
    intact(world)
  })

  it('a file in place of the directory', () => {
    renameSync(state(), `${state()}.kept`)
    writeFileSync(state(), 'not a directory')
    try {
      fails(world, ['status'], 6, /\.deployments/)
      assert.equal(readFileSync(state(), 'utf8'), 'not a directory')
    } finally {
      rmSync(state())
      renameSync(`${state()}.kept`, state())
    }
    intact(world)
  })

  it('a store from a newer unship is left as it is', () => {
    const db = join(state(), 'unship.db')
    const sql = (text) => spawnSync('sqlite3', [db, text], { encoding: 'utf8' }).stdout.trim()
    const version = Number(sql('SELECT max(version) FROM schema_version'))

    assert.ok(version > 0)
    sql(`UPDATE schema_version SET version = ${version + 1000} WHERE version = ${version}`)
    const content = sql('.dump')
    for (const argv of [['status'], ['audit', 'verify'], ['flags', 'production', 'set', 'a', 'on'], ['rollback', 'production', '--reason', 'x', '--yes']]) fails(world, argv, 6, /newer unship/)
    assert.equal(sql('.dump'), content)
    sql(`UPDATE schema_version SET version = ${version} WHERE version = ${version + 1000}`)
    intact(world)
  })

  it('a store that is no database, or is cut off, is not overwritten', () => {
    const db = join(state(), 'unship.db')

    for (const damage of [(text) => Buffer.from('this is no database'.repeat(500)), (text) => text.subarray(0, 5000)]) {
      const copy = join(world.dir, 'kept')

      spawnSync('sqlite3', [db, 'PRAGMA wal_checkpoint(TRUNCATE)'])
      cpSync(state(), copy, { recursive: true })
      const damaged = damage(readFileSync(db))
      writeFileSync(db, damaged)
      for (const name of ['unship.db-wal', 'unship.db-shm']) rmSync(join(state(), name), { force: true })
      fails(world, ['flags', 'production', 'set', 'a', 'on'], 6, /unship\.db/)
      assert.ok(readFileSync(db).equals(damaged), 'the damaged store was changed')
      rmSync(state(), { recursive: true })
      cpSync(copy, state(), { recursive: true })
      rmSync(copy, { recursive: true })
    }
    intact(world)
  })

  it('a journal that was altered is found', () => {
    const db = join(state(), 'unship.db')
    const copy = join(world.dir, 'kept')

    cpSync(state(), copy, { recursive: true })
    const [table] = spawnSync('sqlite3', [db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('journal', 'entries')"], { encoding: 'utf8' }).stdout.trim().split('\n')
    const altered = spawnSync('sqlite3', [db, `UPDATE ${table} SET actor = 'somebody else' WHERE seq = 2`], { encoding: 'utf8' })
    if (altered.status !== 0) { // triggers guard it: take them away, as an attacker would
      const triggers = spawnSync('sqlite3', [db, "SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_master WHERE type = 'trigger'"], { encoding: 'utf8' }).stdout
      assert.equal(spawnSync('sqlite3', [db, `${triggers} UPDATE ${table} SET actor = 'somebody else' WHERE seq = 2`]).status, 0)
    }
    const result = fails(world, ['audit', 'verify'], 6, /entry 2\b/)
    assert.match(result.err, /altered|does not match|damaged|chain/)
    rmSync(state(), { recursive: true })
    cpSync(copy, state(), { recursive: true })
    intact(world)
  })

  it('a registry file that cannot be read is not overwritten', () => {
    const file = join(state(), 'deployment-registry.json')
    const kept = readFileSync(file, 'utf8')

    writeFileSync(file, '{"deployments": [')
    const result = world.run(['record', 'production', '--version', '2.1.0'])
    assert.equal(readFileSync(file, 'utf8'), '{"deployments": [')
    assert.match(result.err, /deployment-registry\.json/)
    writeFileSync(file, kept)
    intact(world)
  })

  it('a full disk: the error says so, nothing is lost, and with space it goes on', (t) => {
    const dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-full-'))
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', dir]).status !== 0) {
      rmSync(dir, { recursive: true })
      return t.skip('a small tmpfs cannot be mounted here')
    }
    const small = new World(dir, 0)
    small.app = dir
    try {
      writeFileSync(join(dir, 'unship.yaml'), flagsOnly)
      small.run(['flags', 'production', 'set', 'a', 'on'])
      spawnSync('dd', ['if=/dev/zero', `of=${join(dir, 'ballast')}`, 'bs=4k'])
      let result
      for (let i = 0; i < 200; i++) {
        result = small.run(['flags', 'production', 'set', 'a', i % 2 ? 'on' : 'off'])
        if (result.code !== 0) break
      }
      assert.equal(result.code, 6, result.err)
      assert.match(result.err, /no space|full/i)
      rmSync(join(dir, 'ballast'))
      intact(small)
      assert.equal(small.run(['flags', 'production', 'set', 'a', 'on']).code, 0)
      intact(small)
    } finally {
      spawnSync('umount', [dir])
      rmSync(dir, { recursive: true, force: true })
    }
  })
})

/* External drivers, each wrong in its own way. They answer `describe` and, where the fault lies elsewhere, `observe`. */
const drivers = {
  garbage: 'if verb == "apply": print("this is not JSON at all"); print("nor this \\x1b[31m")\nelse: answer()',
  nothing: 'if verb != "apply": answer()',
  flood: `if verb == "apply":
    block = b"x" * (1 << 20)
    try:
        for i in range(1024): os.write(1, block)
    except OSError: sys.exit(1)
else: answer()`,
  lingerer: `if verb == "apply":
    linger(False)
answer()`,
  daemon: `if verb == "apply":
    linger(True)
answer()`,
  stubborn: `if verb == "apply":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.path.join(request["projectDir"], "stubborn"), "w").write(str(os.getpid()))
    while True: time.sleep(1)
answer()`,
  crashing: 'if verb == "apply": os.kill(os.getpid(), signal.SIGSEGV)\nanswer()',
  chatty: 'if verb == "apply":\n    for i in range(200000): print(json.dumps({"log": {"level": "info", "message": "line %d" % i}}))\nanswer()',
  twice: 'answer()\nif verb == "apply": answer()',
  liar: 'answer()', // says that it is done, and observe says that it is not
}

const driverScript = (body) => `#!/usr/bin/python3 -S
import json, os, signal, sys, time
request = json.loads(sys.stdin.readline())
verb = request["verb"]
state = os.path.join(request.get("projectDir", "/nonexistent"), "version")
def answer():
    if verb == "describe": result = {"name": "x", "summary": "x", "protocol": 1, "kind": "code", "keeps": False, "verbs": ["describe", "observe", "check", "capture", "apply", "undo"], "fields": []}
    elif verb == "observe": result = {"version": open(state).read() if os.path.exists(state) else "", "state": None, "healthy": None, "details": None}
    elif verb == "check": result = {"findings": []}
    else: result = {}
    sys.stdout.write(json.dumps({"result": result}) + "\\n")
    sys.stdout.flush()
def linger(own_session):
    path = os.path.join(request["projectDir"], "lingering")
    if os.path.exists(path): os.unlink(path)
    if os.fork() == 0:
        if own_session: os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(path + ".new", "w") as file: file.write(str(os.getpid()))
        os.rename(path + ".new", path)
        time.sleep(600)
        os._exit(0)
    while not os.path.exists(path): time.sleep(0.01)
${body}
`

describe('a driver that misbehaves', () => {
  let world, env

  before(() => {
    world = World.bare('project: app\nenvironments:\n  production:\n    components:\n' + Object.keys(drivers).map((name) => `      ${name}: {driver: ${name}}\n`).join('') + '      flags: {driver: flags}\n')
    const bin = join(world.dir, 'bin')
    mkdirSync(bin)
    for (const [name, body] of Object.entries(drivers)) {
      writeFileSync(join(bin, `unship-driver-${name}`), driverScript(body))
      chmodSync(join(bin, `unship-driver-${name}`), 0o755)
    }
    env = { PATH: `${bin}:${process.env.PATH}` }
    writeFileSync(join(world.app, 'version'), '1.0.0')
    world.run(['flags', 'production', 'set', 'a', 'on'], { env })
  })
  after(() => world.remove())

  /* A flag first, so that there is something to put back; then the driver. */
  const run = (name, timeout = 5) => {
    const plan = world.writePlan('plan.json', {
      id: 'p', name: 'P', steps: [
        { id: 'flag', type: 'feature-flag', parameters: { flagKey: 'a', targetState: false }, timeout: 5 },
        { id: 'go', type: 'deployment', parameters: { service: name, version: '2.0.0', environment: 'production' }, timeout, retryPolicy: { maxAttempts: 1 } },
      ],
    })
    const result = world.run(['rollback', 'production', '--plan', plan, '--reason', name, '--yes', '--json'], { env })
    const answer = JSON.parse(result.out)
    assert.equal(world.json(['flags', 'production', 'list'], { env }).flags[0].state, 'true', 'the flag was put back')
    assert.equal(world.json(['audit', 'verify'], { env }).intact, true)
    return { ...result, answer, step: answer.run.steps.find(({ stepId }) => stepId === 'go') }
  }
  const restored = (name, message, timeout) => {
    const result = run(name, timeout)

    assert.equal(result.code, 1, result.out + result.err)
    assert.equal(result.answer.status, 'restored')
    assert.match(result.answer.message, message)
    assert.ok(result.out.length < 1e6, 'what is kept of its output is limited')
    return result
  }

  it('prints garbage: the first of it is shown, made harmless', () => {
    const { out } = restored('garbage', /go.*not JSON|not JSON|this is not/i)
    assert.match(out, /this is not JSON at all/)
    assert.doesNotMatch(out, /\x1b/)
  })
  it('prints nothing', () => restored('nothing', /without|no (result|answer)|nothing/i))
  it('prints 1 GB', () => restored('flood', /not the protocol: 'x+\.\.\.'/, 20))
  it('leaves a child behind that holds its output open: the answer is not waited for, and the child is gone', () => {
    restored('lingerer', /said that it was done/)
    const pid = Number(readFileSync(join(world.app, 'lingering'), 'utf8'))
    assert.equal(existsSync(`/proc/${pid}/exe`), false, `process ${pid} still runs`)
  })
  it('leaves a daemon behind in a session of its own: that may be what it is for, and nothing waits for it', () => {
    restored('daemon', /said that it was done/)
    process.kill(Number(readFileSync(join(world.app, 'lingering'), 'utf8')), 'SIGKILL')
  })
  it('ignores SIGTERM: it is killed', () => {
    restored('stubborn', /no answer after (1(\.\d+)?s|9\d\dms)/, 1) // counted from when the worker was started
    const pid = Number(readFileSync(join(world.app, 'stubborn'), 'utf8'))
    assert.equal(existsSync(`/proc/${pid}/exe`), false, `process ${pid} still runs`)
  })
  it('crashes', () => restored('crashing', /signal|SIGSEGV|crash|killed/i))
  it('logs without end: the run is not slowed down or filled by it', () => {
    const { out } = run('chatty', 60)
    assert.ok(out.length < 2e6, `${out.length} bytes`)
  })
  it('answers twice', () => restored('twice', /after|twice|second|more/i))
  it('says that it is done when it is not', () => restored('liar', /said that it was done, but component liar .*'1\.0\.0'/))
  it('is gone', () => {
    const result = world.run(['health', 'production'])
    assert.equal(result.code, 2)
    assert.match(result.err, /unknown driver 'garbage'/)
  })
})

describe('two rollbacks at once', () => {
  let world
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production: {components: {flags: {driver: flags}}}\n  staging: {components: {flags: {driver: flags}}}\n')
  })
  after(() => world.remove())

  it('the second ends with 4 and names the holder; another environment is free', async () => {
    const gate = join(world.dir, 'gate')
    const plan = world.writePlan('wait.json', { id: 'w', name: 'W', steps: [{ id: 'wait', type: 'command', parameters: { argv: ['python3', '-S', '-c', `import os,time\nopen(${JSON.stringify(`${gate}.begun`)}, 'w')\nwhile not os.path.exists(${JSON.stringify(gate)}): time.sleep(0.01)`] }, timeout: 60 }] })
    const flag = world.writePlan('flag.json', { id: 'f', name: 'F', steps: [{ id: 'f', type: 'feature-flag', parameters: { flagKey: 'a', targetState: true }, timeout: 5 }] })
    const first = world.start(['rollback', 'production', '--plan', plan, '--reason', 'first', '--yes', '--json'])
    let out = ''
    first.stdout.on('data', (data) => { out += data })
    const ended = new Promise((done) => { first.on('close', done) })
    for (const limit = Date.now() + 20000; !existsSync(`${gate}.begun`) && Date.now() < limit;) await new Promise((done) => setTimeout(done, 10))
    const [{ id }] = world.json(['runs']).runs
    const second = world.run(['rollback', 'production', '--plan', flag, '--reason', 'second', '--yes'])
    assert.equal(second.code, 4, second.err)
    assert.ok(second.err.includes(id), second.err)
    assert.match(second.err, /unship status/)
    assert.equal(world.run(['resume', id]).code, 4)
    assert.equal(world.run(['undo', id, '--yes']).code, 2)
    assert.equal(world.run(['rollback', 'staging', '--plan', flag, '--reason', 'other', '--yes']).code, 0)
    assert.deepEqual(world.json(['flags', 'production', 'list']).flags, [])
    writeFileSync(gate, '')
    assert.equal(await ended, 0, out)
    assert.equal(JSON.parse(out).rollbackId, id)
    assert.equal(world.run(['rollback', 'production', '--plan', flag, '--reason', 'second', '--yes']).code, 0)
    intact(world)
  })

  it('of eight started in the same instant exactly those that say so have run', async () => {
    const before = world.json(['runs']).runs.length
    const plan = world.writePlan('race.json', { id: 'r', name: 'R', steps: [{ id: 's', type: 'command', parameters: { argv: ['sleep', '0.3'] }, timeout: 10 }] })
    const codes = await Promise.all(Array.from({ length: 8 }, () => new Promise((done) => {
      const child = world.start(['rollback', 'production', '--plan', plan, '--reason', 'race', '--yes'])
      child.stdout.resume()
      child.stderr.resume()
      child.on('close', done)
    })))
    const won = codes.filter((code) => code === 0).length
    assert.ok(won >= 1, codes.join())
    assert.ok(codes.every((code) => code === 0 || code === 4), codes.join())
    assert.equal(world.json(['runs']).runs.length, before + won)
    intact(world)
  })
})

describe('a service and a target that will not', () => {
  let world, first, second
  before(async () => {
    world = await World.make({ versions: { '1.0.0': {}, '2.0.0': {} }, config: false })
    world.deploy('1.0.0', { status: 'passing' })
    second = world.deploy('2.0.0', { status: 'passing' })
    first = world.json(['deployments', 'production']).deployments.find(({ version }) => version === '1.0.0')
  })
  after(() => world.remove())

  it('a target that was pruned, its release and its commit: refused, nothing is changed', async () => {
    const before = await world.reality()
    const runs = world.json(['runs']).runs.length

    for (const name of readdirSync(join(world.app, 'deploy/releases')))
      if (existsSync(join(world.app, 'deploy/releases', name, 'service.py')) && readFileSync(join(world.app, 'deploy/releases', name, 'service.py'), 'utf8').includes('VERSION = "1.0.0"')) {
        mkdirSync(join(world.dir, 'gone'), { recursive: true })
        renameSync(join(world.app, 'deploy/releases', name), join(world.dir, 'gone', name))
      }
    const commit = world.git('rev-parse', 'v2.0.0^{commit}')
    world.git('tag', '-d', 'v1.0.0')
    world.git('update-ref', '-d', 'refs/heads/main')
    world.git('checkout', '-q', '--orphan', 'fresh')
    world.git('commit', '-q', '-m', 'squashed')
    world.git('tag', '-f', 'v2.0.0')
    world.git('reflog', 'expire', '--expire=now', '--all')
    world.git('gc', '-q', '--prune=now')
    assert.equal(spawnSync('git', ['cat-file', '-e', commit], { cwd: world.app }).status !== 0, true)

    fails(world, ['rollback', 'production', '--to', first.id, '--reason', 'x', '--yes'], 3, /code: .* is no tag, branch or commit/)
    const chosen = world.run(['rollback', 'production', '--reason', 'x', '--yes'])
    assert.ok([2, 3].includes(chosen.code), chosen.err)
    assert.ok(chosen.err.includes(first.id), chosen.err)
    assert.deepEqual(await world.reality(), before)
    assert.equal(world.json(['runs']).runs.length, runs)
    assert.equal(world.json(['deployments', 'production']).deployments.find(({ present }) => present).id, second.id)
    intact(world)
  })
})

describe('a service that ignores SIGTERM', () => {
  let world
  before(() => {
    world = World.bare('')
    writeFileSync(join(world.app, 'unship.yaml'), `project: app
environments:
  production:
    components:
      api: {driver: process, argv: [/usr/bin/python3, -S, stubborn.py], grace: 1s}
`)
    writeFileSync(join(world.app, 'stubborn.py'), 'import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen("pid", "w").write(str(os.getpid()))\nwhile True: time.sleep(1)\n')
  })
  after(() => world.remove())

  it('is killed after its grace period, and the step says so', async () => {
    const plan = (action) => world.writePlan('p.json', { id: 'p', name: 'P', steps: [{ id: action, type: 'service', parameters: { service: 'api', action }, timeout: 20 }] })

    world.json(['rollback', 'production', '--plan', plan('start'), '--reason', 'start', '--yes'])
    for (const limit = Date.now() + 10000; !existsSync(join(world.app, 'pid')) && Date.now() < limit;) await new Promise((done) => setTimeout(done, 10))
    const pid = Number(readFileSync(join(world.app, 'pid'), 'utf8'))
    assert.ok(existsSync(`/proc/${pid}/exe`))
    const answer = world.json(['rollback', 'production', '--plan', plan('stop'), '--reason', 'stop', '--yes'])
    assert.equal(existsSync(`/proc/${pid}/exe`), false)
    assert.match(JSON.stringify(answer.run.steps), /kill|SIGKILL|SIGTERM/i)
    intact(world)
  })
})
