/* What a person at three in the morning must be told: who carries a run out, what an undo returns to, what goes into quarantine, what will not be taken back, and
 * what in the project file points nowhere. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World } from '../world.mjs'

const flagsOnly = 'project: app\nenvironments:\n  production: {components: {flags: {driver: flags}}}\n'
const flagStep = (id, key, state) => ({ id, type: 'feature-flag', parameters: { flagKey: key, targetState: state }, timeout: 5 })
const rollback = (world, plan, ...more) => world.run(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes', ...more])

describe('a run whose holder was killed', () => {
  let world, id
  before(async () => {
    world = World.bare(flagsOnly)
    const gate = join(world.dir, 'gate')
    const plan = world.writePlan('wait.json', {
      id: 'w', name: 'W', steps: [flagStep('f', 'a', true), { id: 'wait', type: 'command', parameters: {
        argv: ['/usr/bin/python3', '-S', '-c', `import os,time\nopen(${JSON.stringify(`${gate}.begun`)}, 'w')\nwhile not os.path.exists(${JSON.stringify(gate)}): time.sleep(0.01)`],
        check: ['test', '-e', gate], undo: ['true'] }, timeout: 60 }],
    })
    const child = world.start(['rollback', 'production', '--plan', plan, '--reason', 'x', '--yes'])
    while (!existsSync(`${gate}.begun`) && child.exitCode === null) await new Promise((done) => setTimeout(done, 10))
    const [run] = world.json(['runs']).runs
    id = run.id
    assert.equal(run.carriedOut, true)
    assert.match(run.holder, new RegExp(`^process ${child.pid} on `))
    assert.equal(world.json(['status', id]).carriedOut, true)
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  after(() => world.remove())

  it('reads in_progress, and that nobody carries it out, with what to do', () => {
    const answer = world.json(['status', id])

    assert.equal(answer.status, 'in_progress')
    assert.equal(answer.carriedOut, false)
    assert.equal(answer.holder, undefined)
    const { out } = world.run(['status', id])
    assert.match(out, /nobody carries it out/)
    assert.match(out, new RegExp(`unship resume ${id}`))
    assert.match(out, new RegExp(`unship cancel ${id}`))
  })

  it('so does the list', () => {
    assert.equal(world.json(['runs']).runs[0].carriedOut, false)
    const { out } = world.run(['runs'])
    assert.match(out, /in_progress, by nobody/)
    assert.match(out, new RegExp(`unship resume ${id}.*unship cancel ${id}`))
  })

  it('is not watched for ever', () => {
    assert.equal(world.run(['status', id, '--watch']).code, 0)
  })

  it('says nothing of the kind once it has ended', () => {
    assert.equal(world.run(['cancel', id, '--yes']).code, 0)
    const answer = world.json(['status', id])
    assert.equal(answer.carriedOut, undefined)
    assert.doesNotMatch(world.run(['status', id]).out, /nobody carries it out/)
  })
})

describe('an undo', () => {
  let world, first, second, run
  before(async () => {
    world = await World.make({ versions: { '1.0.0': {}, '2.0.0': { healthy: false } }, extra: '    objectives: {health: 2s}' })
    world.deploy('1.0.0')
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    second = world.deploy('2.0.0', { status: 'failing' })
    run = world.json(['rollback', 'production', '--reason', 'errors', '--yes'])
  })
  after(() => world.remove())

  it('shows that it returns to a deployment in quarantine whose evidence fails, and asks', async () => {
    const result = world.run(['undo', run.rollbackId])

    assert.equal(result.code, 2)
    assert.match(result.err, /give --yes or --confirm=production/)
    assert.match(result.out, new RegExp(`target_quarantine: ${second.id} \\(2\\.0\\.0\\) is in quarantine: rolled back from: errors`))
    assert.match(result.out, /target_health: .*failing/)
    assert.match(result.out, /verify +health/)
    assert.equal((await world.reality()).version, '1.0.0')
  })

  it('asks the probes afterwards, and is taken back when they fail', async () => {
    const result = world.run(['undo', run.rollbackId, '--yes', '--json'], {})
    const answer = JSON.parse(result.out)

    assert.equal(result.code, 1, result.out)
    assert.equal(answer.status, 'restored')
    assert.equal(answer.run.failedStep, 'verify')
    assert.ok(answer.warnings.some((warning) => /quarantine/.test(warning)))
    assert.equal((await world.reality()).version, '1.0.0')
  })

  it('stands without them when that is meant, and is not done twice without a word', async () => {
    const undone = world.json(['undo', run.rollbackId, '--yes', '--force'])

    assert.equal(undone.status, 'completed')
    assert.equal((await world.reality()).version, '2.0.0')
    for (const argv of [['undo', run.rollbackId, '--yes'], ['undo', '--yes']]) {
      const again = world.run(argv)
      assert.equal(again.code, 3, again.out + again.err)
      assert.match(again.err, new RegExp(`to go forward again: \`unship undo ${undone.rollbackId}\``))
    }
    assert.equal((await world.reality()).version, '2.0.0')
    assert.ok(world.json(['audit', 'search', '--limit', '3']).entries.some(({ kind, data }) => kind === 'refused' && data.operation === 'rollbacks.undo'))
    assert.equal(world.json(['undo', undone.rollbackId, '--yes']).status, 'completed')
    assert.equal((await world.reality()).version, '1.0.0')
    assert.equal(world.json(['deployments', 'show', first.id]).health, 'passing')
    assert.equal(world.json(['undo', run.rollbackId, '--yes', '--force']).status, 'completed', 'the rollback stands again, so it can be undone again')
  })
})

describe('two rollbacks in a row', () => {
  let world, ids
  before(() => {
    world = World.bare(flagsOnly)
    ids = ['1.0.0', '2.0.0', '3.0.0'].map((version, index) => {
      world.json(['flags', 'production', 'set', `f${index}`, 'on'])
      for (let k = 0; k < index; k++) world.json(['flags', 'production', 'set', `f${k}`, 'off'])
      return world.json(['record', 'production', '--version', version, '--status', index === 2 ? 'failing' : 'passing']).id
    })
  })
  after(() => world.remove())

  it('say in the plan and in the result what goes into quarantine, and how that is lifted', () => {
    const bad = world.run(['rollback', 'production', '--reason', 'errors', '--yes'])

    assert.equal(bad.code, 0, bad.out + bad.err)
    assert.match(bad.out, new RegExp(`${ids[2]} \\(3\\.0\\.0\\) goes into quarantine when this completes`))
    assert.match(bad.out, new RegExp(`${ids[2]} \\(3\\.0\\.0\\) is in quarantine now, with health failing`))
    const plan = world.json(['plan', 'production'])
    const finding = plan.findings.find(({ name }) => name === 'quarantine_after')
    assert.equal(finding.severity, 'warning')
    assert.match(finding.message, new RegExp(`${ids[1]} .*has passing evidence, and goes into quarantine.*unship deployments release ${ids[1]}`))
    const answer = world.json(['rollback', 'production', '--reason', 'still wrong', '--yes'])
    assert.equal(answer.quarantined.deploymentId, ids[1])
    assert.equal(answer.quarantined.health, 'passing')
    assert.match(world.json(['deployments', 'show', ids[1]]).quarantine, /still wrong/)
    assert.match(answer.quarantined.lift, new RegExp(`unship deployments release ${ids[1]}`))
    world.json(['deployments', 'release', ids[1], '--reason', 'it was not that'])
    assert.equal(world.json(['deployments', 'show', ids[1]]).quarantine, null)
    assert.equal(world.json(['status', answer.rollbackId]).quarantined.lifted, true)
  })
})

describe('what nothing takes back', () => {
  let world
  before(() => { world = World.bare(flagsOnly) })
  after(() => world.remove())

  it('is said before, and after', () => {
    const plan = world.writePlan('p.json', { id: 'p', name: 'P', steps: [
      { id: 'oneway', type: 'command', parameters: { argv: ['true'] }, timeout: 5 },
      { id: 'both', type: 'command', parameters: { argv: ['true'], undo: ['true'] }, timeout: 5 },
      { id: 'fails', type: 'command', parameters: { argv: ['false'], undo: ['true'] }, timeout: 5 }] })
    const { findings } = world.json(['rollback', 'production', '--plan', plan, '--dry-run'])
    assert.deepEqual(findings.filter(({ name }) => name === 'undo_possible').map(({ message }) => /step '(\w+)' has no undo/.exec(message)[1]), ['oneway'])
    const result = rollback(world, plan)
    assert.equal(result.code, 5)
    assert.match(result.out, /step 'oneway' was not taken back: the command has no `undo`/)
    assert.doesNotMatch(result.out, /'both' was not taken back/)
    assert.deepEqual(world.json(['status']).leftBehind.map(({ step }) => step), ['oneway'])
  })

  it('one step is one step', () => {
    const plan = world.writePlan('one.json', { id: 'p', name: 'P', steps: [flagStep('f', 'a', true)] })
    const { out } = rollback(world, plan)
    assert.match(out, /Plan 1 step,/)
    assert.match(world.run(['plan', 'check', plan]).out, /1 step$/m)
    assert.match(world.run(['config', 'check']).out, /1 component, 0 probes/)
  })
})

describe('config check', () => {
  let world, bin
  before(() => {
    world = World.bare('')
    bin = join(world.dir, 'bin')
    mkdirSync(bin)
    const driver = (name, body) => { writeFileSync(join(bin, `unship-driver-${name}`), `#!/usr/bin/python3 -S\nimport json, sys\n${body}\n`); chmodSync(join(bin, `unship-driver-${name}`), 0o755) }
    driver('thing', `print(json.dumps({"result": {"name": "thing", "summary": "x", "protocol": 1, "kind": "code", "keeps": False, "verbs": ["describe", "observe", "apply"],
      "fields": [{"name": "link", "type": "path", "required": True, "default": None, "choices": None, "help": "the link"}, {"name": "mode", "type": "text", "required": False, "default": "a", "choices": ["a", "b"], "help": "how"}]}}))`)
    driver('broken', 'sys.exit("it is broken")')
  })
  after(() => world.remove())
  const check = (components, probes = '') => {
    writeFileSync(join(world.app, 'unship.yaml'), `project: app\nenvironments:\n  production:\n    components:\n${components}${probes}`)
    return world.json(['config', 'check'], { codes: [0, 2], env: { PATH: `${bin}:/usr/bin` } })
  }
  const places = (answer, severity) => answer.problems.filter((problem) => problem.severity === severity).map(({ line, column, message }) => `${line}:${column} ${message}`)

  it('tells with line and column what is not there', () => {
    const answer = check('      code: {driver: git-release, repo: nowhere, root: deploy}\n      config: {driver: files, paths: [unship.yaml, state/none.env]}\n' +
      '      db: {driver: sqlite, path: state/none.db}\n      web: {driver: process, argv: [no-such-program, x]}\n      job: {driver: command, argv: ["./none.sh"], undo: [python3]}\n',
    '    probes:\n      p: {type: exec, argv: [check_nothing]}\n')

    assert.equal(answer.valid, false)
    assert.deepEqual(places(answer, 'error'), ["5:35 directory 'nowhere' does not exist"])
    assert.deepEqual(places(answer, 'warning'), [
      "5:50 directory 'deploy' does not exist (yet)", "6:52 file 'state/none.env' does not exist (yet)", "7:28 file 'state/none.db' does not exist (yet)",
      "8:37 program 'no-such-program' is not in PATH on this machine", "9:37 program './none.sh' is not there, or cannot be run", "11:30 program 'check_nothing' is not in PATH on this machine",
      '1:1 snapshots are not encrypted: there is no key in snapshots.seal'])
    const { out, err } = world.run(['config', 'check'])
    assert.equal(out, '')
    assert.match(err, /unship\.yaml:8:37: warning: .*no-such-program/)
    assert.equal(err.match(/nowhere/g).length, 1, 'each is said once')
    assert.match(err, /unship\.yaml has 1 problem$/m)
  })

  it('warnings alone are valid', () => {
    assert.equal(check('      db: {driver: sqlite, path: state/none.db}\n').valid, true)
  })

  it('asks drivers of others what they take', () => {
    assert.equal(check('      x: {driver: thing, link: current, mode: b, critical: true}\n').valid, true)
    const answer = check('      x: {driver: thing, lnik: current, mode: c}\n')
    assert.deepEqual(places(answer, 'error'), ["5:26 driver 'thing' has no parameter 'lnik'; did you mean 'link'?", '5:41 must be one of a, b', "5:7 'link' is missing: the link"])
    assert.match(places(check('      x: {driver: broken}\n'), 'error')[0], /^5:11 unship-driver-broken could not describe itself: driver 'broken': ended with exit code 1/)
  })

  it('problems of a plan file are said once, too', () => {
    const { out, err } = world.run(['plan', 'check', world.writePlan('bad.yaml', 'id: p\nname: P\nsteps: [{id: a, type: nonsense, timeout: 5}]\n')])
    assert.equal(out, '')
    assert.equal(err.match(/nonsense/g).length, 1)
    assert.match(err, /has \d+ problem/)
  })
})

describe('init in a plain Git folder', () => {
  let world
  before(async () => {
    world = await World.make({ versions: { '1.0.0': {} } })
    rmSync(join(world.app, 'unship.yaml'))
    writeFileSync(join(world.app, '.env'), 'PORT=4567\n')
  })
  after(() => world.remove())
  const text = () => readFileSync(join(world.app, 'unship.yaml'), 'utf8')
  const again = (files) => {
    rmSync(join(world.app, 'unship.yaml'), { force: true })
    for (const [name, content] of Object.entries(files)) writeFileSync(join(world.app, name), content)
    return world.json(['init'])
  }
  const members = (environment) => environment.components

  it('finds code, configuration and database, and offers what may be the process', () => {
    const { found } = again({})
    const became = Object.fromEntries(found.map(({ kind, component }) => [kind, component]))

    assert.deepEqual(became, { git: 'code', sqlite: 'app', config: 'config', program: undefined })
    assert.match(text(), /refPrefix: v/)
    assert.match(text(), /# web: \{driver: process, argv: \[python3, service\.py\], dir: deploy\/current, needs: \[code, app, config\]\}/)
    assert.match(text(), /127\.0\.0\.1:4567/)
    assert.equal(world.json(['config', 'check']).valid, true)
  })

  it('makes a process and its probe of a Procfile', () => {
    again({ Procfile: 'app: python3 -S service.py 4567\n' })
    assert.match(text(), /^ {6}app:\n {8}driver: process/m)
    assert.match(text(), /needs: \[code, app-2, config\]/)
    assert.match(text(), /app-runs: \{type: process, pidFile: \.deployments\/run\/production-app\.json, component: app\}/)
    const answer = world.json(['config', 'check'])
    assert.equal(answer.valid, true)
    assert.equal(members(answer.environments[0]), 5)
  })

  it('writes examples that are right', () => {
    for (const files of [{}, { Procfile: '' }]) {
      again(files)
      writeFileSync(join(world.app, 'unship.yaml'), text().replace(/^( *)# (?!#)/gm, '$1'))
      const answer = world.json(['config', 'check'], { codes: [0, 2] })
      assert.deepEqual(answer.problems.filter(({ severity }) => severity === 'error'), [], text())
    }
  })

  it('the same in an empty folder', () => {
    const empty = World.bare('')
    try {
      rmSync(join(empty.app, 'unship.yaml'))
      empty.json(['init'])
      assert.equal(empty.json(['config', 'check']).valid, true)
      const file = join(empty.app, 'unship.yaml')
      const written = readFileSync(file, 'utf8')
      assert.match(written, /No process was found/)
      writeFileSync(file, written.replace(/^( *)# (?!#)/gm, '$1'))
      const errors = empty.json(['config', 'check'], { codes: [0, 2] }).problems.filter(({ severity }) => severity === 'error')
      assert.deepEqual(errors.map(({ message }) => message), [])
    } finally {
      empty.remove()
    }
  })
})

describe('smaller things', () => {
  let world
  before(() => {
    world = World.bare(flagsOnly)
    world.json(['flags', 'production', 'set', 'a', 'on'])
  })
  after(() => world.remove())

  it('a state that a flag never had is refused with those that it knows, unless it is meant', () => {
    const slip = world.run(['flags', 'production', 'set', 'a', 'onn'])
    assert.equal(slip.code, 2)
    assert.match(slip.err, /never had the state 'onn'; did you mean 'on'\?; it knows on, off; .*--new-variant/)
    assert.equal(world.json(['flags', 'production', 'set', 'a', 'half', '--new-variant']).state, 'half')
    assert.equal(world.json(['flags', 'production', 'set', 'a', 'off']).state, 'false')
    assert.equal(world.json(['flags', 'production', 'set', 'a', 'half']).state, 'half')
  })

  it('a version that was deployed twice is refused with ids, dates and health', () => {
    const ids = [1, 2].map((number) => world.json(['record', 'production', '--version', '5.0.0', ...(number === 1 ? ['--status', 'passing'] : [])]).id)
    const { err, code } = world.run(['plan', 'production', '--to', '5.0.0'])
    assert.equal(code, 2)
    assert.match(err, new RegExp(`${ids[1]} \\(\\d{4}-\\d\\d-\\d\\dT[^ ]+, health unknown, runs now\\); ${ids[0]} \\(\\d{4}-[^ ]+, health passing\\)`))
  })

  it('a registry file that cannot be read is a warning of the answer too', () => {
    writeFileSync(join(world.app, '.deployments/deployment-registry.json'), '{"deployments": [')
    const result = world.run(['record', 'production', '--version', '6.0.0', '--json'])
    assert.equal(result.err, '')
    assert.ok(JSON.parse(result.out).warnings.some((warning) => /registry file.*deployment-registry\.json/.test(warning)))
    const words = world.run(['record', 'production', '--version', '6.0.1'])
    assert.equal(words.err.match(/registry file is not in step/g).length, 1)
    assert.match(world.run(['flags', 'production', 'set', 'a', 'on']).err, /registry file is not in step/)
  })
})

describe('a target whose commit is gone', () => {
  let world, first
  before(async () => {
    world = await World.make({ versions: { '1.0.0': {}, '3.0.0': {} } })
    world.deploy('1.0.0')
    first = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.deploy('3.0.0')
  })
  after(() => world.remove())

  it('shows the state at the end, and warns of a major line that is skipped', () => {
    const { differences, findings } = world.json(['plan', 'production'])
    const api = differences.find(({ component }) => component === 'api')

    assert.match(api.to, /\(running\)$/)
    assert.match(api.note, /^restart/)
    assert.equal(findings.find(({ name }) => name === 'version_jump').passed, false)
  })

  it('is named with deployment, component, version, commit and what to do', () => {
    const code = world.json(['deployments', 'show', first.id]).components.code
    for (const name of ['v1.0.0', 'v3.0.0']) world.git('tag', '-d', name)
    world.git('checkout', '-q', '--orphan', 'other')
    world.git('add', 'service.py')
    world.git('commit', '-q', '-m', 'other')
    world.git('branch', '-D', 'main')
    world.git('reflog', 'expire', '--expire=now', '--all')
    world.git('gc', '-q', '--prune=now')
    rmSync(join(world.app, 'deploy/releases'), { recursive: true, force: true })
    const result = world.run(['rollback', 'production', '--to', first.id, '--reason', 'x', '--yes'])
    assert.equal(result.code, 3, result.out + result.err)
    for (const part of ['code:', first.id, '1.0.0', code.version, '--to', 'unship deployments production']) assert.ok(result.err.includes(part), `${part} is not in: ${result.err}`)
  })
})

describe('what is recorded but does not run', () => {
  let world
  before(async () => {
    world = await World.make({ versions: { '1.0.0': {} } })
    world.deploy('1.0.0')
  })
  after(() => world.remove())

  it('is a warning', () => {
    assert.deepEqual(world.json(['record', 'production', '--version', 'v1.0.0']).warnings, [])
    assert.match(world.json(['record', 'production', '--version', '9.9.9']).warnings.join(), /version v?1\.0\.0 runs there, not 9\.9\.9/)
  })
})
