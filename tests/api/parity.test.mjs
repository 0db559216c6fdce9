/* Every operation, by every way there is to call it: raw over HTTP, by the command line in the project's directory, by the command line over a server, and as a tool where it is one. In equal worlds the same calls, one
 * after the other, have the same results: what is answered, and how it is refused. The table below has every operation; one that is missing fails. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { eventually } from '../support/eventually.mjs'
import { Remote } from '../support/remote.mjs'
import { makeToken, startServer } from '../support/server.mjs'
import { World, release } from '../world.mjs'

process.env.GIT_AUTHOR_DATE = process.env.GIT_COMMITTER_DATE = '2026-01-01T00:00:00Z' // the same commit in every world
const project = `project: app
environments:
  production:
    readiness: {every: 0} # what the server finds out by itself, the command line alone does not
    components:
      config: {driver: files, paths: [state/app.env]}
      flags: {driver: flags, group: beta}
  guarded:
    protected: true
    approvals: {required: 1}
    readiness: {every: 0}
    components:
      config: {driver: files, paths: [state/guarded.env]}
`
const definition = { type: 'boolean', rules: [{ if: [{ attribute: 'plan', op: 'equals', value: 'pro' }], then: 'on' }], defaultVariant: 'off' }
const brokenPlan = 'id: p\nname: P\nsteps:\n  - {id: a, type: nonsense, parameters: {}}\n'
const goodPlan = 'id: good\nname: Good\nsteps: [{id: a, type: feature-flag, parameters: {flagKey: search, targetState: true}, timeout: 5}]\n'
const slip = 'id: p\nname: [\n'

/* One call: [operation, input, words of the command line, {as, keep, file, tool}].
 * `keep`: remembers something of the answer for later calls; input and words may be functions of what is remembered. `as`: who. `file`: the words name files that are made in the world; the raw call sends
 * their content. `mcp: false`: there is a tool, and it says deliberately something else. */
const calls = [
  ['config.check', {}, 'config check'],
  ['drivers.list', {}, 'drivers'],
  ['drivers.list', { name: 'files' }, 'drivers files'],
  ['drivers.list', { name: 'file' }, 'drivers file', { fails: 'not-found' }],
  ['probes.list', {}, 'probes'],
  ['channels.list', {}, 'channels'],
  ['channels.list', { name: 'x/y' }, 'channels x/y', { fails: 'not-found' }],
  ['versions.list', {}, 'versions'],
  ['versions.list', { environment: 'production', limit: 5 }, 'versions production --limit 5'],
  ['flags.set', { environment: 'production', key: 'search', state: 'off', group: 'beta', reason: 'begin' }, 'flags production set search off --group beta --reason begin'],
  ['flags.set', { environment: 'production', key: 'search', state: 'of' }, 'flags production set search of', { fails: 'invalid' }],
  ['flags.set', { environment: 'nowhere', key: 'search', state: 'on' }, 'flags nowhere set search on', { fails: 'not-found' }],
  ['flags.define', { environment: 'production', key: 'checkout', definition }, (m) => ['flags', 'production', 'define', 'checkout', m.definition]],
  ['flags.define', { environment: 'production', key: 'broken', definition: { type: 'boolean', varants: {} } }, (m) => ['flags', 'production', 'define', 'broken', m.badDefinition], { place: true, fails: 'invalid' }],
  ['flags.show', { environment: 'production', key: 'checkout' }, 'flags production show checkout'],
  ['flags.show', { environment: 'production', key: 'nothing' }, 'flags production show nothing', { fails: 'not-found' }],
  ['flags.list', { environment: 'production', group: 'beta' }, 'flags production list --group beta'],
  ['flags.set', { environment: 'production', key: 'checkout', state: 'on' }, 'flags production set checkout on'],
  ['flags.evaluate', { environment: 'production', key: 'checkout', context: { targetingKey: 'ana', plan: 'pro' } }, ['flags', 'production', 'evaluate', 'checkout', '--context', '{"targetingKey":"ana","plan":"pro"}']],
  ['flags.evaluate', { environment: 'production', key: 'checkout', context: [1] }, ['flags', 'production', 'evaluate', 'checkout', '--context', '[1]'], { fails: 'invalid' }],
  ['deployments.record', { environment: 'production', version: '1.0.0', status: 'passing' }, 'record production --version 1.0.0 --status passing', { keep: (m, a) => { m.first = a.id }, then: (world) => writeFileSync(join(world.app, 'state/app.env'), 'A=2\n') }],
  ['deployments.record', { environment: 'production', version: '1.0.0', status: 'fine' }, 'record production --version 1.0.0 --status fine', { fails: 'invalid' }],
  ['flags.set', { environment: 'production', key: 'search', state: 'on' }, 'flags production set search on'],
  ['deployments.record', { environment: 'production', version: '2.0.0' }, 'record production --version 2.0.0', { keep: (m, a) => { m.second = a.id } }],
  ['deployments.list', { environment: 'production', limit: 1 }, 'deployments production --limit 1'],
  ['deployments.list', { environment: 'production', limit: 0 }, 'deployments production --limit 0', { fails: 'invalid' }],
  ['deployments.show', (m) => ({ id: m.first }), (m) => ['deployments', 'show', m.first]],
  ['deployments.show', { id: 'dep-nothing' }, 'deployments show dep-nothing', { fails: 'not-found' }],
  ['deployments.quarantine', (m) => ({ id: m.second, reason: 'a test' }), (m) => ['deployments', 'quarantine', m.second, '--reason', 'a test']],
  ['deployments.release', (m) => ({ id: m.second, reason: 'over' }), (m) => ['deployments', 'release', m.second, '--reason', 'over']],
  ['health.check', { environment: 'production' }, 'health production'],
  ['health.check', { environment: 'nowhere' }, 'health nowhere', { fails: 'not-found' }],
  ['readiness.show', { environment: 'production' }, 'readiness production'],
  ['readiness.show', { environment: 'production', targets: 0 }, 'readiness production --targets 0', { fails: 'invalid' }],
  ['drills.run', (m) => ({ environment: 'production', to: m.first }), (m) => ['drill', 'production', '--to', m.first]],
  ['drills.run', { environment: 'nowhere' }, 'drill nowhere', { fails: 'not-found' }],
  ['drills.list', { environment: 'production' }, 'drill list production'],
  ['drills.clean', {}, 'drill clean'],
  ['plans.create', { environment: 'production' }, 'plan production'],
  ['plans.create', { environment: 'production', to: '9.9.9' }, 'plan production --to 9.9.9', { fails: 'not-found' }],
  ['plans.create', { environment: 'production', target: ['config', 'nothing'] }, 'plan production --target config --target nothing', { fails: 'not-found' }],
  ['plans.check', (m) => ({ planDocument: { file: m.good, text: goodPlan }, environment: 'production' }), (m) => ['plan', 'check', m.good, '--environment', 'production']],
  ['plans.check', (m) => ({ planDocument: { file: m.broken, text: brokenPlan } }), (m) => ['plan', 'check', m.broken], { fails: 'invalid' }],
  ['plans.check', (m) => ({ planDocument: { file: m.slip, text: slip } }), (m) => ['plan', 'check', m.slip], { fails: 'invalid' }],
  ['plans.runbook', (m) => ({ planDocument: { file: m.good, text: goodPlan }, environment: 'production' }), (m) => ['plan', 'runbook', m.good, '--environment', 'production']],
  ['rollbacks.show', {}, 'status', { fails: 'not-found' }],
  ['rollbacks.resume', {}, 'resume', { fails: 'not-found' }],
  ['rollbacks.create', { environment: 'production', dryRun: true }, 'rollback production --dry-run'],
  ['rollbacks.create', { environment: 'production' }, 'rollback production --yes', { terminal: true, fails: 'usage' }],
  ['rollbacks.create', (m) => ({ environment: 'production', reason: 'x', planHash: '0'.repeat(64) }), `rollback production --reason x --plan-hash ${'0'.repeat(64)} --yes`, { fails: 'changed' }],
  ['rollbacks.create', { environment: 'production', reason: 'broken' }, 'rollback production --reason broken --yes', { keep: (m, a) => { m.run = a.rollbackId } }],
  ['rollbacks.create', (m) => ({ environment: 'production', reason: 'by plan', planDocument: { file: m.good, text: goodPlan } }), (m) => ['rollback', 'production', '--plan', m.good, '--reason', 'by plan', '--yes']],
  ['rollbacks.show', (m) => ({ id: m.run }), (m) => ['status', m.run]],
  ['rollbacks.show', { id: 'run-nothing' }, 'status run-nothing', { fails: 'not-found' }],
  ['rollbacks.list', { limit: 1 }, 'runs --limit 1'],
  ['rollbacks.undo', (m) => ({ id: m.run, dryRun: true }), (m) => ['undo', m.run, '--dry-run']],
  ['rollbacks.undo', (m) => ({ id: m.run, reason: 'forward' }), (m) => ['undo', m.run, '--reason', 'forward', '--yes'], { keep: (m, a) => { m.undo = a.rollbackId } }],
  ['rollbacks.undo', (m) => ({ id: m.run }), (m) => ['undo', m.run, '--yes'], { fails: 'refused' }],
  ['rollbacks.cancel', (m) => ({ id: m.run }), (m) => ['cancel', m.run, '--yes'], { fails: 'invalid' }],
  ['rollbacks.approve', {}, 'approve', { fails: 'invalid' }],
  ['rollbacks.reject', (m) => ({ id: m.run, reason: 'no' }), (m) => ['reject', m.run, '--reason', 'no'], { fails: 'invalid' }],
  ['snapshots.list', { environment: 'production' }, 'snapshots list --environment production'],
  ['snapshots.create', { environment: 'production', reason: 'before the weekend' }, () => ['snapshots', 'create', 'production', '--reason', 'before the weekend']],
  ['snapshots.create', { environment: 'nowhere' }, 'snapshots create nowhere', { fails: 'not-found' }],
  ['snapshots.copy', {}, 'snapshots copy', { fails: 'invalid' }],
  ['snapshots.fetch', { dryRun: true }, 'snapshots fetch --dry-run', { fails: 'invalid' }],
  ['snapshots.rotate', {}, 'snapshots rotate', { fails: 'invalid' }],
  ['snapshots.show', (m) => ({ id: m.run }), (m) => ['snapshots', 'show', m.run]],
  ['snapshots.show', { id: 'run-nothing' }, 'snapshots show run-nothing', { fails: 'not-found' }],
  ['snapshots.verify', (m) => ({ id: m.run }), (m) => ['snapshots', 'verify', m.run]],
  ['snapshots.restore', (m) => ({ id: m.run, component: 'config', reason: 'back' }), (m) => ['snapshots', 'restore', m.run, '--component', 'config', '--reason', 'back', '--yes']],
  ['snapshots.restore', (m) => ({ id: m.run, component: 'nothing' }), (m) => ['snapshots', 'restore', m.run, '--component', 'nothing', '--yes'], { fails: 'invalid' }],
  ['snapshots.export', null, (m) => ['snapshots', 'export', m.run, 'exported'], { local: true, fails: 'unsupported' }],
  ['snapshots.prune', { keep: 1, dryRun: true }, 'snapshots prune --keep 1 --dry-run'],
  ['snapshots.prune', { keep: 3 }, 'snapshots prune --keep 3 --yes'],
  ['flags.disable-group', { environment: 'production', group: 'beta', reason: 'off' }, 'flags production disable-group beta --reason off'],
  ['flags.history', { environment: 'production', limit: 1 }, 'flags production history --limit 1', { keep: (m, a) => { m.change = a.changes[0].id } }],
  ['flags.restore', (m) => ({ environment: 'production', id: m.change }), (m) => ['flags', 'production', 'restore', m.change]],
  ['flags.restore', { environment: 'production', id: 'nothing' }, 'flags production restore nothing', { fails: 'not-found' }],
  ['flags.remove', { environment: 'production', key: 'checkout', reason: 'done' }, 'flags production remove checkout --reason done'],
  ['flags.remove', { environment: 'production', key: 'checkout' }, 'flags production remove checkout', { fails: 'not-found' }],
  ['deployments.record', { environment: 'guarded', version: '1.0.0', status: 'passing' }, 'record guarded --version 1.0.0 --status passing', { then: (world) => writeFileSync(join(world.app, 'state/guarded.env'), 'A=2\n') }],
  ['deployments.record', { environment: 'guarded', version: '2.0.0' }, 'record guarded --version 2.0.0'],
  ['rollbacks.create', { environment: 'guarded', reason: 'first' }, 'rollback guarded --reason first --yes', { keep: (m, a) => { m.approval = a.approval.id } }],
  ['approvals.list', {}, 'approvals'],
  ['approvals.show', (m) => ({ id: m.approval }), (m) => ['approvals', 'show', m.approval]],
  ['approvals.approve', (m) => ({ id: m.approval }), (m) => ['approvals', 'approve', m.approval], { fails: 'forbidden' }],
  ['approvals.withdraw', (m) => ({ id: m.approval, reason: 'later' }), (m) => ['approvals', 'withdraw', m.approval, '--reason', 'later']],
  ['rollbacks.create', { environment: 'guarded', reason: 'second' }, 'rollback guarded --reason second --yes', { keep: (m, a) => { m.approval = a.approval.id } }],
  ['approvals.reject', (m) => ({ id: m.approval, reason: 'no' }), (m) => ['approvals', 'reject', m.approval, '--reason', 'no'], { as: 'ben' }],
  ['rollbacks.create', { environment: 'guarded', reason: 'third' }, 'rollback guarded --reason third --yes', { keep: (m, a) => { m.approval = a.approval.id } }],
  ['approvals.approve', (m) => ({ id: m.approval, reason: 'yes' }), (m) => ['approvals', 'approve', m.approval, '--reason', 'yes'], { as: 'ben' }],
  ['breakglass.open', { environment: 'guarded', reason: 'fire', minutes: 5 }, 'breakglass open guarded --reason fire --minutes 5 --yes', { keep: (m, a) => { m.glass = a.id } }],
  ['breakglass.open', { environment: 'guarded', reason: 'fire', minutes: 0 }, 'breakglass open guarded --reason fire --minutes 0 --yes', { fails: 'invalid' }],
  ['breakglass.list', { environment: 'guarded' }, 'breakglass list --environment guarded'],
  ['breakglass.close', (m) => ({ id: m.glass }), (m) => ['breakglass', 'close', m.glass]],
  ['breakglass.review', (m) => ({ id: m.glass, note: 'fine' }), (m) => ['breakglass', 'review', m.glass, '--note', 'fine'], { fails: 'forbidden' }],
  ['breakglass.review', (m) => ({ id: m.glass, note: 'fine' }), (m) => ['breakglass', 'review', m.glass, '--note', 'fine'], { as: 'ben' }],
  ['people.add', { name: 'ana', grant: ['production=operator'] }, 'people add ana --grant production=operator'],
  ['people.add', { name: 'ana' }, 'people add ana', { fails: 'conflict' }],
  ['people.add', { name: 'eve', grant: ['production=king'] }, 'people add eve --grant production=king', { fails: 'invalid' }],
  ['people.show', { name: 'ana' }, 'people show ana'],
  ['people.change', { name: 'ana', grant: ['*=viewer'] }, 'people change ana --grant *=viewer'],
  ['people.list', {}, 'people list'],
  ['tokens.create', { name: 'ci', principal: 'ana', environment: ['production'], expires: '1h' }, 'tokens create ci --principal ana --environment production --expires 1h', { keep: (m, a) => { m.token = a.id } }],
  ['tokens.create', { name: 'ci', principal: 'nobody' }, 'tokens create ci --principal nobody', { fails: 'not-found' }],
  ['tokens.list', { principal: 'ana' }, 'tokens list --principal ana'],
  ['tokens.revoke', (m) => ({ id: m.token, reason: 'over' }), (m) => ['tokens', 'revoke', m.token, '--reason', 'over']],
  ['tokens.revoke', (m) => ({ id: m.token }), (m) => ['tokens', 'revoke', m.token], { fails: 'conflict' }],
  ['sessions.list', { principal: 'ana' }, 'sessions list --principal ana'],
  ['sessions.revoke', { id: 'ses-nothing' }, 'sessions revoke ses-nothing', { fails: 'not-found' }],
  ['people.remove', { name: 'ana' }, 'people remove ana --yes'],
  ['people.remove', { name: 'ana' }, 'people remove ana --yes', { fails: 'not-found' }],
  ['history.list', { environment: 'production' }, 'history --environment production'],
  ['audit.search', { kind: 'flag.*', limit: 3 }, 'audit search --kind flag.* --limit 3'],
  ['audit.search', { limit: 'many' }, 'audit search --limit many', { usage: true, fails: 'invalid' }],
  ['audit.verify', {}, 'audit verify', { only: ['intact'] }],
  ['notifications.list', {}, 'notifications'],
  ['alerts.list', {}, 'alerts'],
]

const times = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g
const varies = new Set(['durationMs', 'copyMs', 'ageMs', 'duration', 'ms', 'medianMs', 'longestMs', 'seq', 'usedAt', 'holder', 'origin', 'pid', 'requester', 'principal', 'at', 'ended', 'startTime', 'endTime', 'bytes', 'freeBytes', 'ageMs', 'medianMs', 'worstMs'])

/* What differs between equal worlds: ids, times, hashes, places. */
function masked(value, world, key) {
  if (Array.isArray(value)) return value.map((item) => masked(item, world))
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).filter(([name]) => name !== 'usedAt').sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, masked(item, world, name)]))
  if (varies.has(key)) return `<${key}>`
  if (typeof value !== 'string') return value
  return value.replaceAll(world.dir, '<dir>').replace(times, '<time>').replace(/\b[0-9a-f]{64}\b/g, '<hash>').replace(/\b([a-z]+)-[0-9a-hjkmnp-tv-z]{26}\b/g, '<$1>').replace(/\b[0-9a-f]{40}\b/g, '<commit>').replace(/unship_[A-Za-z0-9_-]{20,}/g, '<token>')
    .replace(/\b\d+(\.\d+)?(ms|s|m\d*s?)\b( ago)?/g, '<took>').replace(/\b\d+ (s|min) ago/g, '<ago>').replace(/in \d+ (s|min|h|d)\b/g, '<in>').replace(/\b\d+(\.\d)? [GM]iB\b/g, '<size>')
}

class Way {
  constructor(name, world, server) {
    Object.assign(this, { name, world, server, memory: {}, tokens: {} })
  }

  static async make(name, served) {
    const world = World.bare(project)
    const git = (...words) => world.git('-c', 'user.name=t', '-c', 'user.email=t@example.com', ...words)
    world.program = release
    git('init', '-q', '-b', 'main')
    git('commit', '-q', '--allow-empty', '-m', 'Begin')
    git('tag', 'v1.0.0')
    writeFileSync(join(world.app, 'state/app.env'), 'A=1\n')
    writeFileSync(join(world.app, 'state/guarded.env'), 'A=1\n')
    const way = new Way(name, world, null)
    for (const person of ['admin', 'ben']) way.tokens[person] = makeToken(world, person, ['*=admin+force+emergency'])
    const file = (path, text) => { writeFileSync(join(world.dir, path), typeof text === 'string' ? text : JSON.stringify(text)); return join(world.dir, path) }
    Object.assign(way.memory, { definition: file('flag.json', definition), badDefinition: file('bad.json', { type: 'boolean', varants: {} }), good: file('good.yaml', goodPlan), broken: file('broken.yaml', brokenPlan), slip: file('slip.yaml', slip) })
    if (served) {
      way.server = await startServer(world, { admin: false })
      way.remote = new Remote(way.server.url)
    }
    return way
  }

  async end() {
    this.remote?.remove()
    await this.server?.stop()
    this.world.remove()
  }

  /* {answer, error: {code, message}}: whatever way it was called. */
  result(document) {
    const { error, ...answer } = document
    return { answer: masked(answer, this.world), error: error && masked({ code: error.code, message: error.message }, this.world) }
  }
}

const ways = {
  async local(way, [, , words], as) {
    const { code, out } = way.world.run([...words, '--json'], { env: { UNSHIP_ACTOR: as }, cwd: way.world.dir })
    way.code = code
    return JSON.parse(out)
  },
  async remote(way, [, , words], as) {
    const { code, out, err } = await way.remote.run([...words, '--json'], { env: { UNSHIP_TOKEN: way.tokens[as] } })
    way.code = code
    try { return JSON.parse(out) } catch { throw new Error(`${words.join(' ')}: ${out}${err}`) }
  },
  async raw(way, [operation, input], as) {
    const { method, path } = table.get(operation)
    const rest = { ...input }
    let target = `/api/v1${path.replace(/\{(\w+)\}/g, (_, name) => { const value = rest[name] ?? '-'; delete rest[name]; return encodeURIComponent(value) })}`
    const inQuery = method === 'GET' || method === 'DELETE'
    if (inQuery) target += `?${new URLSearchParams(Object.entries(rest).flatMap(([name, value]) => [].concat(value).map((one) => [name, one])))}`
    const response = await way.server.fetch(target, { method, token: way.tokens[as], headers: { Prefer: 'wait=60' }, ...(inQuery ? {} : { body: rest }) })
    const { type, title, status, detail, instance, code, hint, line, column, ...answer } = response.json ?? {}
    if (response.status < 400) {
      if (response.json.result?.rollbackId) { // an approval's run goes on beside its answer
        response.json.result = await eventually(async () => {
          const { json } = await way.server.fetch(`/api/v1/rollbacks/${response.json.result.rollbackId}`, { token: way.tokens[as] })
          return json.status === 'completed' && json
        })
      }
      return response.json
    }
    assert.match(response.headers.get('content-type'), /^application\/problem\+json/)
    return { ...answer, error: { code, message: detail } }
  },
}

/* Tools by operation; the rest of the calls goes over HTTP, so that the worlds stay equal. */
const tools = {
  'plans.create': 'plan_rollback', 'rollbacks.create': 'rollback_deployment', 'rollbacks.show': 'rollback_status', 'rollbacks.list': 'list_rollbacks', 'rollbacks.resume': 'resume_rollback',
  'rollbacks.cancel': 'cancel_rollback', 'rollbacks.undo': 'undo_rollback', 'health.check': 'health', 'deployments.list': 'list_deployments', 'deployments.show': 'show_deployment',
  'versions.list': 'list_versions', 'history.list': 'history', 'flags.list': 'list_flags', 'flags.set': 'set_flag', 'flags.disable-group': 'disable_flag_group', 'flags.restore': 'restore_flag',
  'flags.history': 'flag_history', 'snapshots.list': 'list_snapshots', 'snapshots.show': 'show_snapshot', 'audit.search': 'search_audit', 'audit.verify': 'verify_audit',
  'notifications.list': 'list_notifications', 'config.check': 'check_project',
}
const isTool = ([operation, input]) => tools[operation] && input.environment !== 'guarded' && !('planDocument' in input || 'planHash' in input || 'dryRun' in input)

ways.mcp = async (way, call, as) => {
  if (!isTool(call)) return ways.raw(way, call, as)
  const [operation, input] = call
  const { target, ...rest } = input
  const { json, bodyText } = await way.server.fetch('/mcp', {
    method: 'POST', token: way.tokens[as], headers: { Accept: 'application/json, text/event-stream', 'MCP-Protocol-Version': '2025-11-25' },
    body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tools[operation], arguments: target ? { ...rest, target } : rest } },
  })
  assert.ok(json.result, bodyText)
  return json.result.isError ? { ...json.result.structuredContent, error: json.result.structuredContent?.error ?? { code: 'text', message: json.result.content[0].text } } : json.result.structuredContent
}

let table
const given = (thing, memory) => (typeof thing === 'function' ? thing(memory) : thing)

describe('one result, whatever the way', () => {
  const all = {}
  before(async () => {
    for (const name of Object.keys(ways)) all[name] = await Way.make(name, name !== 'local')
    table = new Map(all.local.world.json(['help']).commands.filter(({ operation }) => operation).map((command) => [command.operation, command]))
  })
  after(() => Promise.all(Object.values(all).map((way) => way.end())))

  it('has every operation in its table', () => {
    assert.deepEqual([...new Set(calls.map(([operation]) => operation))].sort(), [...table.keys()].sort())
  })

  for (const [operation, input, words, { as = 'admin', fails, keep, then, local, only, usage, terminal, place } = {}] of calls) {
    const line = typeof words === 'string' ? words : typeof words === 'function' ? operation : words.join(' ')

    it(`${operation}: ${line}`, async () => {
      const results = {}

      for (const [name, way] of Object.entries(all)) {
        const written = given(words, way.memory)
        const call = [operation, given(input, way.memory), typeof written === 'string' ? written.split(' ') : written]
        if (local && name === 'raw') continue
        const document = await ways[name](way, call, as)
        if (!document.error || document.approval) keep?.(way.memory, document)
        then?.(way.world)
        results[name] = way.result(document)
        if (only) results[name].answer = Object.fromEntries(only.map((key) => [key, document[key]]))
      }
      if (local) {
        assert.equal(results.local.error, undefined)
        assert.equal(results.remote.error.code, fails)
        return
      }
      assert.equal(results.local.error?.code, fails, JSON.stringify(results.local))
      assert.deepEqual(results.remote, results.local, 'the command line over a server')
      assert.equal(all.remote.code, all.local.code, 'the exit code')
      if (results.local.answer.waitsFor) assert.equal(all.local.code, 3, 'nothing was done')
      if (usage || terminal) return // the command line says itself what is wrong with its words
      if (place) { // the raw call has no file, so no place in it
        assert.equal(results.raw.error.code, results.local.error.code)
        return
      }
      assert.deepEqual(results.raw, results.local, 'raw over HTTP')
      if (!isTool([operation, given(input, all.mcp.memory)])) return
      if (fails) {
        assert.equal(results.mcp.error?.code, fails, JSON.stringify(results.mcp))
        return
      }
      // rollback_deployment has a result of its own, with members of the run's answer
      const expected = operation === 'rollbacks.create' ? Object.fromEntries(Object.entries(results.local.answer).filter(([name]) => name in results.mcp.answer)) : results.local.answer
      assert.deepEqual(results.mcp.answer, expected, 'as a tool')
      assert.ok(Object.keys(expected).length > 0)
    })
  }
})
