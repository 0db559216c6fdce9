/* The documentation is true: every command of README and quick start runs, in order, as the text says; every command word anywhere in docs/ exists. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { after, before, describe, it } from 'node:test'
import { World, freePort, release } from '../world.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/* All Markdown for users: README.md and docs/, folders included. */
function pages(dir = join(root, 'docs')) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => entry.isDirectory() ? pages(join(dir, entry.name)) : entry.name.endsWith('.md') ? [join(dir, entry.name)] : [])
}
const all = [join(root, 'README.md'), ...pages()]

/* Lines of indented and fenced code blocks that are commands: "unship ...", "$ unship ...". What follows two blanks is a remark. */
function commands(file) {
  return readFileSync(file, 'utf8').split('\n').map((line) => /^ {4}(?:\$ )?(unship .*)$/.exec(line) ?? /^(?:\$ )(unship .*)$/.exec(line)).filter(Boolean).map(([, line]) => line.split(/\s{2,}/)[0])
}

const fenced = (file, language) => [...readFileSync(file, 'utf8').matchAll(new RegExp('```' + language + '\\n([^]*?)```', 'g'))].map(([, block]) => block)

/* A command as a person types it, in a shell, in `dir`. */
function shell(line, dir, env = {}) {
  const bin = join(dirname(dir), 'bin')

  mkdirSync(bin, { recursive: true })
  try { symlinkSync(release, join(bin, 'unship')) } catch { /* it is there */ }
  return spawnSync('bash', ['-c', line], { cwd: dir, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', ...env, PATH: `${bin}:${process.env.PATH}` } })
}

describe('the quick start', () => {
  const file = join(root, 'docs/quick-start.md')
  let world, port, ran

  before(async () => {
    port = await freePort()
    const [yaml] = fenced(file, 'yaml')
    world = World.bare('')
    rmSync(join(world.app, 'unship.yaml'))
    world.git('init', '-q', '-b', 'main')
    world.git('config', 'user.name', 'test')
    world.git('config', 'user.email', 'test@example.com')
    writeFileSync(join(world.app, 'state/shop.json'), '{"greeting": "hello"}\n')
    assert.equal(spawnSync('sqlite3', [join(world.app, 'state/shop.db'), 'CREATE TABLE orders (id INTEGER PRIMARY KEY)']).status, 0)
    world.yaml = yaml.replaceAll('8080', String(port))
    world.port = port
    for (const version of ['1.3.9', '1.4.0']) {
      writeFileSync(join(world.app, 'app.py'), `import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class App(BaseHTTPRequestHandler):
    def log_message(self, *arguments): pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"${version}")
HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
`)
      world.git('add', 'app.py')
      world.git('commit', '-q', '-m', version)
      world.git('tag', `v${version}`)
    }
    ran = []
  })
  after(() => world.remove())

  /* The team's own deployment, which the text takes for granted. */
  const deploy = (version) => {
    const plan = world.writePlan('deploy.json', {
      id: 'deploy', name: 'deploy', steps: [
        { id: 'stop', type: 'service', parameters: { service: 'api', action: 'stop' }, timeout: 20 },
        { id: 'release', type: 'deployment', parameters: { service: 'code', version: `v${version}`, environment: 'production' }, timeout: 20 },
        { id: 'start', type: 'service', parameters: { service: 'api', action: 'start' }, timeout: 20 },
      ],
    })
    world.json(['rollback', 'production', '--plan', plan, '--reason', `deploy ${version}`, '--yes'])
  }
  const served = async () => (await fetch(`http://127.0.0.1:${port}/`)).text()
  const type = (line, codes = [0]) => {
    const result = shell(line, world.app)

    assert.ok(codes.includes(result.status), `${line}: ended with ${result.status}\n${result.stdout}${result.stderr}`)
    ran.push(line)
    return result
  }
  /* Where a person would be asked, a script says --yes: as the text says. */
  const typeWithYes = (line) => {
    const refused = shell(line, world.app)
    assert.equal(refused.status, 2, line)
    assert.match(refused.stderr, /--yes/)
    const result = type(`${line} --yes`)
    ran.push(line)
    return result
  }

  it('1: init writes a commented file that is right; so is the one of the text', () => {
    type('unship init')
    const written = readFileSync(join(world.app, 'unship.yaml'), 'utf8')
    assert.match(written, /^ *#/m)
    type('unship config check')
    assert.equal(shell('unship init', world.app).status, 2, 'it does not overwrite')
    assert.equal(readFileSync(join(world.app, 'unship.yaml'), 'utf8'), written)
    writeFileSync(join(world.app, 'unship.yaml'), world.yaml)
    type('unship config check')
    writeFileSync(join(world.app, 'unship.yaml'), world.yaml.replace('driver: sqlite', 'driver: sqlit'))
    assert.match(shell('unship config check', world.app).stderr, /unship\.yaml:\d+:\d+/)
    writeFileSync(join(world.app, 'unship.yaml'), world.yaml)
  })

  it('2: record and health, then the deployment is a candidate', async () => {
    deploy('1.3.9')
    type('unship record production --version 1.3.9')
    type('unship health production --record')
    deploy('1.4.0')
    assert.equal(await served(), '1.4.0')
    type('unship record production --version 1.4.0')
    type('unship health production')
    const { deployments } = world.json(['deployments', 'production'])
    assert.equal(deployments[0].health, 'passing', '`health` keeps the result as evidence')
    assert.match(type('unship deployments production').stdout, /1\.3\.9.*last stable/)
  })

  it('3: a dry run changes nothing; the rollback takes it back', async () => {
    assert.match(type('unship rollback production --dry-run').stdout, /Candidates/)
    assert.equal(await served(), '1.4.0')
    const { stdout } = typeWithYes('unship rollback production --reason "errors under load"')
    assert.match(stdout, /objective/)
    assert.match(stdout, /next: /)
    assert.equal(await served(), '1.3.9')
  })

  it('4: when something goes wrong', async () => {
    assert.match(type('unship status').stdout, /next: /)
    const nothing = type('unship resume', [2])
    assert.match(nothing.stderr, /has ended already/)
    typeWithYes('unship undo')
    assert.equal(await served(), '1.4.0')
    assert.match(type('unship cancel --yes', [2]).stderr, /has ended already/)
    ran.push('unship cancel')
    typeWithYes('unship snapshots restore')
    type('unship audit verify')
  })

  it('and no command of the text is missing in this test', () => {
    for (const line of commands(file)) assert.ok(ran.includes(line), `'${line}' of the quick start is not tried here`)
  })
})

describe('README', () => {
  let world
  before(async () => {
    world = await World.make()
    world.deploy('1.0.0', { status: 'passing' })
    world.deploy('2.0.0')
  })
  after(() => world.remove())

  it('its commands run', async () => {
    const lines = commands(join(root, 'README.md'))

    assert.ok(lines.length > 0)
    for (const line of lines) {
      const result = shell(`${line} --yes`, world.app)
      assert.equal(result.status, 0, `${line}: ${result.stdout}${result.stderr}`)
    }
    assert.equal((await world.reality()).version, '1.0.0')
  })

  it('its scripts and pages exist', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8')

    for (const [, name] of text.matchAll(/\b(scripts\/[a-z-]+)/g)) assert.doesNotThrow(() => readFileSync(join(root, name)), name)
    for (const page of all)
      for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) assert.doesNotThrow(() => readFileSync(resolve(dirname(page), target)), `${page} points to ${target}`)
  })

  it('its drivers, probes and channels are those that there are', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8')

    for (const kind of ['drivers', 'probes', 'channels']) for (const { name } of world.json([kind])) assert.ok(text.includes(`\`${name}\``), `${kind}: ${name}`)
  })
})

describe('all of docs/', () => {
  let dir
  before(() => { dir = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'unship-docs-')) })
  after(() => rmSync(dir, { recursive: true }))

  it('every `unship WORD` is a command, with the options that it is shown with', () => {
    const help = JSON.parse(spawnSync(release, ['help', '--json'], { encoding: 'utf8' }).stdout).commands
    const common = ['--json', '--dir', '-C', '--server', '--ca', '--yes', '-y', '--no-input', '--confirm', '--output', '-o', '--watch', '-w', '--interactive', '-i', '--help', '-h', '--quiet', '-q', '--verbose', '-v', '-n']
    let found = 0

    for (const page of all)
      for (const [, code] of readFileSync(page, 'utf8').matchAll(/(?:`|^ {4}(?:\$ )?)unship ([a-z][^`\n]*)/gm)) {
        const [first] = code.split(/[\s/|,]/)
        const forms = help.filter(({ usage }) => usage.split(' ')[0] === first)

        found++
        assert.ok(forms.length, `${page}: unship ${code}`)
        assert.equal(spawnSync(release, ['help', first]).status, 0, first)
        for (const [option] of code.split(/\s{2,}/)[0].matchAll(/(?<=\s)--?[a-z][a-z-]*/g)) {
          const name = option.replace('--no-', '--')
          assert.ok(common.includes(option) || forms.some(({ options }) => options.some((one) => one.name === name || one.name === option)), `${page}: unship ${code}: ${option}`)
        }
      }
    assert.ok(found > 10)
  })

  it('every plan and project in the reference is valid', () => {
    for (const page of all.filter((name) => /reference\/(plan-file|step-types)\.md$/.test(name)))
      for (const [index, block] of fenced(page, 'yaml').entries()) {
        if (!/^steps:/m.test(block) || !/^id:/m.test(block)) continue
        writeFileSync(join(dir, 'plan.yaml'), block)
        const result = spawnSync(release, ['plan', 'check', join(dir, 'plan.yaml')], { encoding: 'utf8', cwd: dir })
        assert.equal(result.status, 0, `${page}, block ${index + 1}: ${result.stderr}`)
      }
    for (const page of all)
      for (const [index, block] of fenced(page, 'yaml').entries()) {
        if (!/^project:/m.test(block)) continue
        writeFileSync(join(dir, 'unship.yaml'), block)
        const result = spawnSync(release, ['-C', dir, 'config', 'check'], { encoding: 'utf8' })
        assert.equal(result.status, 0, `${page}, block ${index + 1}: ${result.stderr}${result.stdout}`)
      }
  })
})
