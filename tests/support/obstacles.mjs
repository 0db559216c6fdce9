/* What can speak against a rollback: for each, a world in which exactly that is so. Used by the scenario of the checks (each is told, blocks, can be overridden by name) and by property 3 (each changes nothing). */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { World } from '../world.mjs'

/* A driver that does as its script says: {"version", "observe": error, "check": findings, error or "hang"}. */
const scripted = `#!/usr/bin/python3 -S
import json, os, sys, time
request = json.loads(sys.stdin.readline())
verb = request['verb']
if verb == 'describe':
    print(json.dumps({'result': {'name': 'scripted', 'summary': 'does as it is told', 'protocol': 1, 'kind': 'code', 'keeps': False,
        'verbs': ['describe', 'observe', 'check', 'capture', 'apply', 'undo'], 'fields': [{'name': 'script', 'type': 'path', 'required': True}]}}))
    sys.exit()
path = os.path.join(request['projectDir'], request['component']['script'])
script = json.load(open(path))
said = script.get(verb)
if said == 'hang':
    time.sleep(600)
if isinstance(said, dict):
    print(json.dumps({'error': said}))
elif verb == 'check':
    print(json.dumps({'result': {'findings': said or []}}))
elif verb == 'observe':
    print(json.dumps({'result': {'version': script['version'], 'details': script.get('details')}}))
else:
    if verb == 'capture':
        os.makedirs(request['snapshotDir'], exist_ok=True)
        open(os.path.join(request['snapshotDir'], 'version'), 'w').write(script['version'])
    elif verb == 'apply':
        script['version'] = request['target']['version']
    elif verb == 'undo':
        script['version'] = open(os.path.join(request['snapshotDir'], 'version')).read()
    open(path, 'w').write(json.dumps(script))
    print(json.dumps({'result': {}}))
`

const project = (more) => `project: p
environments:
  production:
    checkTimeout: 1s
    objectives: {health: 1s}
${more}
    components:
      config: {driver: files, paths: [state/app.env]}
      db: {driver: sqlite, path: state/app.db}
      flags: {driver: flags, group: beta}
      thing: {driver: scripted, script: state/thing.json}
      still: {driver: scripted, script: state/still.json}
    probes:
      outside: {type: exec, argv: [/usr/bin/ls, state/outside], external: true}
      still: {type: exec, argv: [/usr/bin/ls, state/healthy], component: still}
`

export function obstacleWorld({ guarded = false, more = '' } = {}) {
  const world = World.bare(project(guarded ? `    protected: true\n${more}` : more))
  const bin = join(world.dir, 'bin')

  mkdirSync(bin)
  writeFileSync(join(bin, 'unship-driver-scripted'), scripted)
  chmodSync(join(bin, 'unship-driver-scripted'), 0o755)
  world.env = { PATH: `${bin}:/usr/bin:${process.env.PATH}` }
  world.run = (argv, options = {}) => World.prototype.run.call(world, argv, { ...options, env: { ...world.env, ...options.env } })
  world.script = (name, script) => writeFileSync(join(world.app, 'state', `${name}.json`), JSON.stringify(script))
  for (const name of ['outside', 'healthy']) writeFileSync(join(world.app, 'state', name), '')
  world.script('still', { version: '1' })
  return world
}

/* The state of a version, written by hand as a deployment would. */
export function put(world, version, env = {}) {
  writeFileSync(join(world.app, 'state/app.env'), Object.entries({ NAME: `n${version}`, PASSWORD: `hunter${version}`, ...env }).map(([key, value]) => `${key}=${value}\n`).join(''))
  world.script('thing', { version, details: { commit: version } })
  world.json(['flags', 'production', 'set', 'f', version === '1' ? 'on' : 'off', '--group', 'beta'])
}

/* Two deployments, the first with passing evidence: {target, present}. */
export function deployed(world, { status = 'passing', outcome = 'succeeded', between = () => {} } = {}) {
  world.sql('CREATE TABLE IF NOT EXISTS notes (text TEXT); INSERT INTO notes VALUES (\'a\')')
  put(world, '1')
  const target = world.json(['record', 'production', '--version', '1.0.0', ...(outcome === 'succeeded' ? ['--status', status] : ['--outcome', outcome])])
  between(world)
  put(world, '2')
  return { target, present: world.json(['record', 'production', '--version', '2.0.0', '--allow-unreachable']) }
}

const finding = (name, more = {}) => [{ name, passed: false, severity: 'error', message: 'so it is', ...more }]
const thing = (more) => (world) => world.script('thing', { version: '2', ...more })

/* name: of the finding that must stand first. arrange: after both deployments. first: how the target is recorded. */
export const obstacles = [
  { name: 'target_quarantine', arrange: (world, { target }) => world.json(['deployments', 'quarantine', target.id, '--reason', 'test']) },
  { name: 'target_health', first: { status: 'failing' }, arrange() {} },
  { name: 'target_status', first: { outcome: 'failed' }, arrange() {} },
  { name: 'schema_compatibility', arrange: (world) => world.sql('ALTER TABLE notes RENAME COLUMN text TO body') },
  { name: 'target_content', arrange: (world, { target }) => rmSync(join(world.app, '.deployments/recorded', target.id), { recursive: true }) },
  { name: 'artefact_available', arrange: thing({ check: finding('artefact_available') }) },
  { name: 'service_dependencies', arrange: (world) => world.script('still', { version: '1', details: { needs: { thing: '>=2' } } }) },
  { name: 'component_observable', arrange: (world) => world.script('still', { version: '1', observe: { code: 'unreachable', message: 'nobody answers' } }) },
  { name: 'check_possible', arrange: thing({ check: { code: 'failed', message: 'it does not work' } }) },
  { name: 'check_timeout', arrange: thing({ check: 'hang' }) },
  { name: 'dependency_reachable', arrange: (world) => rmSync(join(world.app, 'state/outside')) },
  { name: 'disk_space', arrange: thing({ check: finding('disk_space', { evidence: { neededBytes: 1e15 } }) }) },
]
