/* The command line as such: what stands on stdout and stderr, what is asked and when, how mistakes are answered, how it looks at a terminal. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { World, release } from '../world.mjs'

const text = (screen) => screen.replace(/\x1b\[[0-9;]*[A-Za-z]/g, '')

/* A project of flags and one program that waits until the file `gate` is there. */
function gated() {
  const world = World.bare(`project: app
environments:
  production: {components: {flags: {driver: flags}}}
  staging: {components: {flags: {driver: flags}}}
`)
  world.gate = join(world.dir, 'gate')
  world.plan = world.writePlan('wait.json', {
    id: 'w', name: 'W', steps: [
      { id: 'before', type: 'feature-flag', parameters: { flagKey: 'a', targetState: false }, timeout: 5 },
      { id: 'wait', type: 'command', parameters: { argv: ['/usr/bin/python3', '-S', '-c', `import os,time\nopen(${JSON.stringify(`${world.gate}.begun`)}, 'w')\nwhile not os.path.exists(${JSON.stringify(world.gate)}): time.sleep(0.01)`], check: ['test', '-e', world.gate] }, timeout: 60 },
      { id: 'after', type: 'feature-flag', parameters: { flagKey: 'b', targetState: false }, timeout: 5 },
    ],
  })
  world.run(['flags', 'production', 'set', 'a', 'on'])
  world.run(['flags', 'production', 'set', 'b', 'on'])
  return world
}

const flagsOf = (world) => world.json(['flags', 'production', 'list']).flags.map(({ key, state }) => `${key}=${state}`).join()

describe('with --json every command', () => {
  let world, run, deployment
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production: {components: {flags: {driver: flags, group: beta}}}\n')
    world.git('init', '-q', '-b', 'main')
    world.git('-c', 'user.name=t', '-c', 'user.email=t@example.com', 'commit', '-q', '--allow-empty', '-m', 'x')
    world.json(['flags', 'production', 'set', 'a', 'on', '--group', 'beta'])
    deployment = world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.json(['flags', 'production', 'set', 'a', 'off'])
    world.json(['record', 'production', '--version', '2.0.0'])
    run = world.json(['rollback', 'production', '--reason', 'x', '--yes'])
    world.plan = world.writePlan('plan.json', world.json(['plan', 'production', '--to', deployment.id]).plan)
    writeFileSync(join(world.dir, 'ok.yaml'), 'id: p\nname: P\nsteps: [{id: a, type: feature-flag, parameters: {flagKey: a, targetState: true}, timeout: 5}]\n')
  })
  after(() => world.remove())

  const commands = () => [
    ['config check'], ['record production --version 3.0.0'], ['versions'], ['versions production'], [`deployments show ${deployment.id}`],
    [`deployments quarantine ${deployment.id} --reason x`], [`deployments release ${deployment.id} --reason x`], ['deployments production'], [`plan check ${world.dir}/ok.yaml`],
    [`plan runbook ${world.dir}/ok.yaml`], [`plan production --to ${deployment.id}`], [`rollback production --dry-run --to ${deployment.id}`],
    [`rollback production --plan ${world.dir}/ok.yaml --reason x --yes`], ['status'], [`status ${run.rollbackId} --watch`], ['runs'], ['health production'], ['readiness production'],
    ['flags production list'], ['flags production set a on'], ['flags production disable-group beta'], ['flags production history'], ['snapshots list'],
    [`snapshots show ${run.rollbackId}`], [`snapshots verify ${run.rollbackId}`], [`snapshots export ${run.rollbackId} ${world.dir}/exported`], ['snapshots prune --yes'], ['drill list'], ['drill clean'],
    ['approvals'], ['breakglass list'], ['people list'], ['people add ana --grant *=viewer'], ['tokens create ci --principal ana'], ['tokens list'], ['sessions list'],
    ['history'], ['alerts'], ['audit verify'], ['audit search'], ['notifications'], ['drivers'], ['drivers flags'], ['probes'], ['channels'], ['completion bash'], ['help'],
    ['help rollback'], ['whoami'], ['version'], ['--version'], ['--help'], ['rollback --help'], [''], [`undo ${run.rollbackId} --yes`],
    // and when they fail
    ['resume', 2], ['cancel --yes', 2], ['approve', 2], ['reject', 2], ['rollback production --yes', 2], ['rollback production --reason x', 2, 3], ['status nothing', 2],
    ['deployments show nothing', 2], ['rolback', 2], ['rollback --bogus production', 2], ['health nowhere', 2], ['plan check nowhere.yaml', 2], ['init', 2],
    ['snapshots restore nothing --yes', 2], ['flags production restore nothing', 2], ['help nothing', 2], ['approvals show nothing', 2], ['people remove nobody --yes', 2], ['completion nothing', 2], ['drivers nothing', 2], ['login', 2], ['logout', 2], ['serve --listen nonsense', 2],
  ]

  it('prints one document on stdout and nothing else', () => {
    for (const [line, ...codes] of commands()) {
      const result = world.run([...line.split(' ').filter(Boolean), '--json'])

      assert.ok((codes.length ? codes : [0]).includes(result.code), `unship ${line}: ended with ${result.code}: ${result.out}${result.err}`)
      let document
      assert.doesNotThrow(() => { document = JSON.parse(result.out) }, `unship ${line}: ${result.out}`)
      assert.equal(typeof document, 'object')
      assert.doesNotMatch(result.out, /\x1b/)
      assert.equal(result.err, '', `unship ${line}: words on stderr`)
      if (result.code) {
        assert.equal(typeof document.error.code, 'string')
        assert.ok(document.error.message.length > 5, line)
      }
    }
  })

  it('and no command of `help` is missing in this test', () => {
    const tried = commands().map(([line]) => line.split(' ')[0])

    for (const { usage } of world.json(['help']).commands.filter(({ usage }) => usage !== 'mcp')) // which speaks another protocol
      assert.ok(tried.includes(usage.split(' ')[0]), usage)
  })
})

describe('help', () => {
  let world
  before(() => { world = gated() })
  after(() => world.remove())

  it('is shown by --help anywhere, and nothing is executed', () => {
    const entries = world.json(['audit', 'verify']).entries

    for (const line of ['rollback production --reason x --yes --help', '--help rollback production --yes', 'flags production set a off -h', 'record production --version 9 --help',
      'record --help', 'undo --yes --help', 'snapshots prune --yes --help', 'audit --help', 'flags --help', 'deployments --help', '-h', ''])
      assert.match(fine(world.run(line.split(' ').filter(Boolean))).out, /unship/, line)
    assert.equal(world.json(['audit', 'verify']).entries, entries)
    assert.equal(flagsOf(world), 'a=true,b=true')
  })

  it('of a word with several forms shows them all', () => {
    const { out } = world.run(['flags', '--help'])

    for (const form of ['list', 'set KEY STATE', 'disable-group GROUP', 'restore ID', 'history']) assert.ok(out.includes(`unship flags ENVIRONMENT ${form}`), form)
  })

  it('names options as they are written', () => {
    const { out } = world.run(['help', 'rollback'])

    for (const option of ['--reason', '--to', '--target', '--plan', '--no-preserve-data', '--force', '--dry-run', '--yes', '--confirm', '--json']) assert.ok(out.includes(option), option)
  })
})

function fine(result) {
  assert.equal(result.code, 0, result.out + result.err)
  return result
}

describe('a mistake in the command', () => {
  let world
  before(() => { world = gated() })
  after(() => world.remove())

  for (const [line, message] of [
    ['rolback production', /unknown command 'rolback'; did you mean 'rollback'\?/],
    ['rolback --help', /did you mean 'rollback'\?/],
    ['rollback production --raeson x', /unknown option '--raeson'; did you mean '--reason'\?/],
    ['rollback production --dryrun', /unknown option '--dryrun'; did you mean '--dry-run'\?/],
    ['rollback', /something is missing: unship rollback ENVIRONMENT/],
    ['rollback production staging --reason x', /'rollback' is used as `unship rollback ENVIRONMENT`/],
    ['snapshots verfy', /'verfy' is not known here; did you mean 'verify'\?/],
    ['audit', /`unship audit verify`, `unship audit search`/],
    ['rollback produktion --reason x --yes', /there is no environment 'produktion'; .*production/],
    ['rollback production --reason', /option '--reason' needs a value/],
    ['rollback production --reason a --reason b', /option '--reason' is given twice/],
    ['rollback production --yes=no', /option '--yes' takes no value/],
    ['rollback production --dry-run=false', /option '--dry-run' takes no value/],
    ['rollback production --version 1.0.0 --reason x', /`unship rollback ENVIRONMENT` has no option '--version'/],
    ['health production -o file', /`unship health ENVIRONMENT` has no option '--output'/],
    ['undo --watch', /has no option '--watch'/],
    ['record production', /option '--version' is missing/],
    ['record production --version 1 --component api', /option '--component' wants NAME=VALUE/],
    ['deployments production --limit many', /option '--limit': 'many' is not a whole number/],
    ['deployments production --limit 5 --limit 6', /option '--limit' is given twice/],
    ['-C', /option '-C' needs a value/],
    ['-x', /unknown option '-x'/],
    ['--reason x', /needs a command/],
    ['drivers proces', /there is no driver 'proces'; did you mean 'process'\?/],
    ['undo --confirm staging --no-input', /nothing|no run|staging/],
    ['--server http://127.0.0.1:1 status', /either --server, or the project in a directory \(-C\): not both/],
  ])
    it(`unship ${line}`, () => {
      const result = world.run(line.split(' '))

      assert.equal(result.code, 2, result.out + result.err)
      assert.match(result.err, message)
      assert.equal(result.out, '')
      assert.equal(world.json(['runs']).runs.length, 0)
    })

  it('-C to a directory that is not there', () => {
    const result = world.run(['status'], { dir: '/nonexistent' })

    assert.equal(result.code, 2)
    assert.match(result.err, /directory '\/nonexistent' does not exist/)
  })

  it('-C to a directory below the project finds the project', () => {
    mkdirSync(join(world.app, 'a/b'), { recursive: true })
    assert.equal(JSON.parse(world.run(['config', 'check', '--json'], { dir: join(world.app, 'a/b') }).out).project, 'app')
    assert.equal(existsSync(join(world.app, 'a/b/.deployments')), false)
  })

  it('--output that cannot be written is an error, with and without --json', () => {
    const plan = ['plan', 'runbook', world.plan, '--environment', 'production', '-o', join(world.dir, 'no/such/dir/file')]

    for (const argv of [plan, [...plan, '--json']]) {
      const result = world.run(argv)
      assert.notEqual(result.code, 0)
      assert.match(result.out + result.err, /no\/such\/dir/)
    }
    assert.match(world.run(['plan', 'runbook', world.plan]).err, /give --environment, one of production, staging/)
    fine(world.run(['plan', 'runbook', world.plan, '--environment', 'production', '-o', join(world.dir, 'runbook.md'), '--json']))
    assert.match(readFileSync(join(world.dir, 'runbook.md'), 'utf8'), /wait/)
  })
})

describe('without a terminal', () => {
  let world
  before(() => { world = gated() })
  after(() => world.remove())

  it('nothing is asked, whatever stands on stdin', () => {
    const input = 'production\nproduction\ny\nyes\n'

    for (const [line, message] of [
      [`rollback production --plan ${world.plan}`, /give --reason/],
      [`rollback production --plan ${world.plan} --reason x`, /give --yes or --confirm=production/],
      ['plan production -i', /needs a terminal/],
      ['snapshots prune', /give --yes/],
    ]) {
      const result = world.run(line.split(' '), { input })
      assert.equal(result.code, 2, line)
      assert.match(result.err, message)
    }
    assert.equal(flagsOf(world), 'a=true,b=true')
    assert.equal(world.json(['runs']).runs.length, 0)
  })

  it('--no-input asks nothing at a terminal either', () => {
    const { code, screen } = world.terminal(['rollback', 'production', '--plan', world.plan, '--reason', 'x', '--no-input'])

    assert.equal(code, 2)
    assert.match(screen, /give --yes/)
  })

  it('--confirm must name the environment', () => {
    const result = world.run(['rollback', 'production', '--plan', world.plan, '--reason', 'x', '--confirm', 'staging'])

    assert.equal(result.code, 2)
    assert.match(result.err, /--confirm=staging does not name 'production'/)
    assert.equal(world.json(['runs']).runs.length, 0)
  })

  it('progress is one plain line per change, on stderr; the result on stdout; no colour', () => {
    writeFileSync(world.gate, '')
    const result = fine(world.run(['rollback', 'production', '--plan', world.plan, '--reason', 'x', '--confirm', 'production'], { env: { NO_COLOR: '' } }))

    assert.match(result.err, /^ {2}wait +started$/m)
    assert.match(result.err, /^ {2}wait +completed \(\d+(\.\d+)?m?s\)$/m)
    assert.match(result.out, /run-\w+ completed/)
    assert.match(result.out, /next: `unship undo run-\w+`/)
    assert.doesNotMatch(result.out + result.err, /\x1b/)
    assert.equal(flagsOf(world), 'a=false,b=false')
  })

  it('undo takes the name of the environment as well', () => {
    assert.equal(world.run(['undo', '--confirm', 'staging']).code, 2)
    fine(world.run(['undo', '--confirm', 'production']))
    assert.equal(flagsOf(world), 'a=true,b=true')
  })

  it('a result that cannot be written is an error', () => {
    const result = spawnSync('sh', ['-c', '"$0" -C "$1" deployments production --json >/dev/full', release, world.app], { encoding: 'utf8' })

    assert.notEqual(result.status, 0)
    assert.match(result.stderr, /could not be written/)
  })

  it('nobody reads: no message about a pipe, no hang', () => {
    const result = spawnSync('sh', ['-c', '"$0" -C "$1" help | head -1', release, world.app], { encoding: 'utf8' })

    assert.equal(result.status, 0)
    assert.match(result.stdout, /unship/)
  })
})

describe('at a terminal', () => {
  let world
  before(() => { world = gated() })
  after(() => world.remove())

  it('a wrong name, an empty answer and Ctrl-C change nothing and say so', () => {
    for (const typed of ['prod\n', '\n', '\x04', '\x03']) {
      const { code, screen } = world.terminal(['rollback', 'production', '--plan', world.plan, '--reason', 'x'], [['to go on: ', typed]])

      assert.equal(code, 130, screen)
      assert.match(text(screen), /nothing was changed/)
      assert.doesNotMatch(text(screen), /unship resume/)
    }
    assert.equal(world.json(['runs']).runs.length, 0)
    assert.equal(flagsOf(world), 'a=true,b=true')
  })

  it('the reason and the name are asked, each step has one line with its time against its limit; Ctrl-C ends with 130 and says how to go on', () => {
    const { code, screen, timeout } = world.terminal(['rollback', 'production', '--plan', world.plan], [['Reason.*: ', 'a bad night\n'], ['to go on: ', 'production\n'], ['wait .*(\\d+ms|1s) / 1m', '\x03']])
    const last = text(screen).split('\n')

    assert.equal(timeout, undefined, screen)
    assert.equal(code, 130, screen)
    assert.match(text(screen), /✓ before /)
    assert.match(text(screen), /▸ wait .* \/ 1m/)
    assert.match(last.join('\n'), /interrupted; `unship resume run-\w+` goes on/)
    assert.match(screen, /\x1b\[4A/, 'three steps and a headline are redrawn in place')
    const [run] = world.json(['runs']).runs
    assert.equal(run.reason, 'a bad night')
    assert.equal(run.status, 'in_progress')
    assert.equal(flagsOf(world), 'a=false,b=true')
  })

  it('another rollback is refused with 4 meanwhile', () => {
    assert.equal(world.run(['rollback', 'production', '--plan', world.plan, '--reason', 'y', '--yes']).code, 4)
  })

  it('resume finishes it', () => {
    writeFileSync(world.gate, '')
    const { code, screen } = world.terminal(['resume'])

    assert.equal(code, 0, screen)
    assert.match(text(screen), /run-\w+ completed/)
    assert.equal(text(screen).match(/✓ after /g).length >= 1, true)
    assert.equal(flagsOf(world), 'a=false,b=false')
    assert.equal(world.json(['audit', 'verify']).intact, true)
  })

  it('NO_COLOR: no escape sequence at all', () => {
    const { code, screen } = world.terminal(['rollback', 'production', '--plan', world.plan, '--reason', 'x', '--yes'], [], { env: { NO_COLOR: '1' } })

    assert.equal(code, 0, screen)
    assert.doesNotMatch(screen, /\x1b/)
    assert.doesNotMatch(world.terminal(['deployments', 'production'], [], { env: { NO_COLOR: '1' } }).screen, /\x1b/)
    assert.match(world.terminal(['help'], []).screen, /unship/)
  })

  it('in a narrow terminal a step still has one line', () => {
    const { screen } = world.terminal(['undo', '--yes'], [], { columns: 60 })

    for (const line of text(screen).split(/\r?\n/)) if (line.includes('undo-')) assert.ok([...line].length <= 60, line)
  })

  it('what comes from outside cannot steer the terminal', () => {
    const { screen } = world.terminal(['flags', 'production', 'set', 'c', 'x\x1b]0;owned\x07\x1b[2J'])

    assert.doesNotMatch(screen, /\x1b\]0;|\x1b\[2J|\x07/)
  })
})

describe('exit codes', () => {
  let world
  before(() => {
    world = World.bare('project: app\nenvironments:\n  production:\n    components: {flags: {driver: flags}}\n    probes: {dead: {type: exec, argv: ["/bin/false"]}}\n')
    world.run(['flags', 'production', 'set', 'a', 'on'])
    world.json(['record', 'production', '--version', '1.0.0', '--status', 'passing'])
    world.run(['flags', 'production', 'set', 'a', 'off'])
    world.json(['record', 'production', '--version', '2.0.0'])
  })
  after(() => world.remove())
  const plan = (steps) => world.writePlan('p.json', { id: 'p', name: 'P', steps })

  it('1: it failed and is restored', () => {
    const file = plan([{ id: 'f', type: 'feature-flag', parameters: { flagKey: 'a', targetState: true }, timeout: 5 }, { id: 'no', type: 'command', parameters: { argv: ['false'], undo: ['true'] }, timeout: 5 }])
    const result = world.run(['rollback', 'production', '--plan', file, '--reason', 'x', '--yes'])

    assert.equal(result.code, 1, result.out + result.err)
    assert.match(result.out, /restored/)
    assert.match(result.out, /next: the environment is as it was/)
    assert.equal(flagsOf(world), 'a=false')
  })

  it('3: refused by a finding, which is named; --force overrides it and that is kept', () => {
    const [, first] = world.json(['deployments', 'production']).deployments
    world.json(['deployments', 'quarantine', first.id, '--reason', 'known bad'])
    const result = world.run(['rollback', 'production', '--to', first.id, '--reason', 'x', '--yes'])

    assert.equal(result.code, 3, result.out + result.err)
    assert.match(result.err, /quarantined: known bad/)
    assert.equal(flagsOf(world), 'a=false')
    assert.ok(world.json(['audit', 'search', '--limit', '5']).entries.some((entry) => JSON.stringify(entry).includes('known bad')), 'the refusal is in the journal')
  })

  it('2: a target that there is not; a version is as good as an id while it is the only one', () => {
    const dry = (to) => world.run(['rollback', 'production', '--to', to, '--dry-run', '--force', '--json'])
    const [, first] = world.json(['deployments', 'production']).deployments

    for (const to of ['1.0.0', 'v1.0.0', first.id]) assert.equal(JSON.parse(dry(to).out).target.deploymentId, first.id, to)
    assert.equal(dry('9.9.9').code, 2)
    assert.match(JSON.parse(dry('9.9.9').out).error.message, /no deployment of 'production' has the id or version '9\.9\.9'/)
    world.json(['record', 'production', '--version', '1.0.0'])
    assert.equal(dry('1.0.0').code, 2)
    assert.match(JSON.parse(dry('1.0.0').out).error.message, /version 1\.0\.0 was deployed 2 times.*dep-/)
  })

  it('3: the plan was made for another state', async () => {
    const other = await World.make({ probes: false })
    try {
      other.deploy('1.0.0', { status: 'passing' })
      other.deploy('2.0.0')
      const { planHash } = other.json(['plan', 'production'])
      writeFileSync(join(other.app, 'state/app.env'), 'GREETING=changed by somebody meanwhile\n')
      const result = other.run(['rollback', 'production', '--plan-hash', planHash, '--reason', 'x', '--yes'])

      assert.equal(result.code, 3, result.out + result.err)
      assert.match(result.err, /state or target changed since it was looked at/)
      assert.match(readFileSync(join(other.app, 'state/app.env'), 'utf8'), /changed by somebody meanwhile/)
    } finally {
      other.remove()
    }
  })

  it('5: it failed and could not be restored; what stands where is said', () => {
    const file = plan([{ id: 'one-way', type: 'command', parameters: { argv: ['true'], undo: ['false'] }, timeout: 5 }, { id: 'no', type: 'command', parameters: { argv: ['false'] }, timeout: 5 }])
    const result = world.run(['rollback', 'production', '--plan', file, '--reason', 'x', '--yes'])

    assert.equal(result.code, 5, result.out + result.err)
    assert.match(result.out, /next: .*unship /)
    assert.equal(world.json(['audit', 'verify']).intact, true)
  })
})

describe('completion', () => {
  let world
  before(() => { world = gated() })
  after(() => world.remove())

  const complete = (script, words) => {
    const result = spawnSync('bash', ['-c', `eval "$0"; COMP_WORDS=(${words.map((word) => JSON.stringify(word)).join(' ')}); COMP_CWORD=${words.length - 1}; _unship; printf '%s\\n' "\${COMPREPLY[@]}"`, script], { encoding: 'utf8' })

    assert.equal(result.stderr, '')
    return result.stdout.trim().split('\n')
  }

  it('of bash is a valid script that completes commands, sub-commands and options', () => {
    const script = fine(world.run(['completion', 'bash'])).out

    assert.equal(spawnSync('bash', ['-n'], { input: script }).status, 0)
    assert.deepEqual(complete(script, ['unship', 'rollb']), ['rollback'])
    assert.deepEqual(complete(script, ['unship', 'snapshots', 'ver']), ['verify'])
    assert.deepEqual(complete(script, ['unship', 'rollback', 'production', '--rea']), ['--reason'])
    assert.deepEqual(complete(script, ['unship', 'rollback', '--no-p']), ['--no-preserve-data'])
    assert.deepEqual(complete(script, ['unship', 'nonsense', 'x']), [''])
    for (const { usage } of world.json(['help']).commands) assert.ok(complete(script, ['unship', '']).includes(usage.split(' ')[0]), usage)
  })

  it('of zsh works without what only bash has', () => {
    const script = fine(world.run(['completion', 'zsh'])).out

    assert.match(script, /bashcompinit/)
    assert.doesNotMatch(script, /mapfile|readarray/)
    if (spawnSync('zsh', ['--version']).status === 0) assert.equal(spawnSync('zsh', ['-n'], { input: script }).status, 0)
  })

  it('of fish has a line for each command', () => {
    const lines = fine(world.run(['completion', 'fish'])).out.trim().split('\n')

    assert.ok(lines.every((line) => line.startsWith('complete -c unship -n ')))
    assert.ok(lines.some((line) => line.endsWith('-a rollback')))
  })
})
