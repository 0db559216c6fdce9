/* A disk and the loss of power. A program runs with tests/support/power.c beneath it, which writes down every change of a folder in order; from this record and the folder as it was before, all that a
 * disk may hold after a loss of power at any moment of the run is made here, as often as wished: a run is made once and cut everywhere.
 *
 * The disk is as unkind as POSIX allows, within what journaling file systems (ext4, xfs, btrfs) promise:
 * - The content of a file is there for certain only after a flush of that file. Of what was written since, each sector of 512 bytes is as it was then or as it stood at some moment afterwards, independently
 *   of the others; the size, too, is that of some moment. A sector is never torn itself.
 * - A name (made, renamed, removed) is there for certain only after a flush of its folder; a flush of the file does not do. Each change of names since then happened or did not, independently of the others,
 *   except that a change needs those before it that it builds on: of the same name, or of the file that it renames or links. A rename happens wholly or not at all, and over another name it replaces it.
 * - A folder that nobody's name leads to is lost with all that is in it, flushed or not.
 * - syncfs and sync make everything certain.
 *
 * What it cannot show: disks that lie about flushing, or that damage what was flushed; file times (files that were not changed keep theirs, others are new) and owners; what programs without the library
 * wrote (services: as if never flushed); effects outside of the folder. Processes are not ended in the middle: since a loss of power ends all of them, what the disk holds is all that is left of a moment. */
import { createHash } from 'node:crypto'
import {
  chmodSync, closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, readlinkSync, readSync, realpathSync, rmSync, symlinkSync, utimesSync, writeFileSync, writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { withFailpoints } from '../world.mjs'

const LIBRARY = join(dirname(withFailpoints), '../tests/support/libpower.so')
const LOG_SIZE = 256 << 20 // sparse
const HEADER = 16
const RECORD = 48
const SECTOR = 512
const [CREATE, LINK, UNLINK, RENAME, WRITE, TRUNCATE, MODE, SYNC, SYNC_ALL, COMMITTED] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const FULL = 2 // SQLite's PRAGMA synchronous: a commit waits for the disk
const TYPE = 0o170000, FOLDER = 0o040000, SYMLINK = 0o120000

/* Numbers in [0, 1) from a seed: mulberry32, written anew. */
export function random(seed) {
  let state = seed >>> 0

  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/* What the environment of a program must have. `log`: write down what it does below `root`. */
export function environment({ log, root, boot, laterS }) {
  return {
    LD_PRELOAD: LIBRARY,
    ...(log ? { UNSHIP_POWER_LOG: log, UNSHIP_POWER_ROOT: realpathSync(root) } : {}),
    ...(boot ? { UNSHIP_POWER_BOOT: boot } : {}),
    ...(laterS ? { UNSHIP_POWER_LATER: String(laterS) } : {}),
  }
}

export function makeLog(path) {
  const fd = openSync(path, 'w', 0o600)
  ftruncateSync(fd, LOG_SIZE)
  closeSync(fd)
}

/* The records: [{kind, a, b, offset, mode, name, other, bytes}, ...]. */
export function readLog(path) {
  const fd = openSync(path, 'r'), header = Buffer.alloc(HEADER), records = []

  readSync(fd, header, 0, HEADER, 0)
  const all = Buffer.alloc(Number(header.readBigUInt64LE(0)))
  readSync(fd, all, 0, all.length, 0)
  closeSync(fd)
  for (let at = HEADER; at < all.length;) {
    const [names, others, size] = [all.readUInt32LE(at + 36), all.readUInt32LE(at + 40), all.readUInt32LE(at + 44)]
    const text = at + RECORD

    records.push({
      kind: all.readUInt32LE(at + 4), a: Number(all.readBigUInt64LE(at + 8)), b: Number(all.readBigUInt64LE(at + 16)), offset: Number(all.readBigInt64LE(at + 24)), mode: all.readUInt32LE(at + 32),
      name: all.toString('utf8', text, text + names), other: all.toString('utf8', text + names, text + names + others), bytes: all.subarray(text + names + others, text + names + others + size),
    })
    at += all.readUInt32LE(at)
  }
  return records
}

/* ---- files and folders ---- */

function made(mode, content) {
  const type = mode & TYPE
  /* `flushed`: what is certain. `changes`: of the content, since then. */
  return { mode, type, times: null, flushedMode: mode, now: content, flushed: content, changes: [], names: new Map(), flushedNames: new Map() }
}

function changed(content, change) {
  const { kind, offset, bytes } = change
  const size = kind === TRUNCATE ? offset : Math.max(content.length, offset + bytes.length)
  const next = Buffer.alloc(size)

  content.copy(next, 0, 0, Math.min(content.length, size))
  if (kind === WRITE) bytes.copy(next, offset)
  return next
}

/* What a disk may hold of a file: sectors and sizes of several moments. */
function torn(file, chance, keep) {
  let disk = Buffer.from(file.flushed), now = file.flushed, size = disk.length

  for (const change of file.changes) {
    now = changed(now, change)
    if (chance() < keep) {
      size = now.length
      if (size < disk.length) disk = disk.subarray(0, size)
    }
    if (change.kind !== WRITE) continue
    if (disk.length < now.length) disk = Buffer.concat([disk, Buffer.alloc(now.length - disk.length)])
    for (let at = change.offset - (change.offset % SECTOR); at < change.offset + change.bytes.length; at += SECTOR) {
      if (chance() < keep) now.copy(disk, at, at, Math.min(at + SECTOR, now.length))
    }
  }
  const held = Buffer.alloc(size)
  disk.copy(held, 0, 0, Math.min(size, disk.length))
  return held
}

/* ---- the disk ---- */

export class Disk {
  /* The folder as it stands, all of it flushed. What is called as one of `apart` in its top is left alone. */
  constructor(root, apart = []) {
    this.root = root
    this.apart = new Set(apart)
    this.inodes = new Map()
    this.pending = [] // changes of names that are not certain, in order
    this.committed = 0 // what the program was told to be in its store
    this.top = this.read(root, this.apart)
  }

  read(path, apart = new Set()) {
    const st = lstatSync(path, { bigint: true }), mode = Number(st.mode), known = this.inodes.get(Number(st.ino))
    if (known) return known // another name of it
    const file = made(mode, (mode & TYPE) === FOLDER ? null : (mode & TYPE) === SYMLINK ? Buffer.from(readlinkSync(path)) : readFileSync(path))

    file.times = [Number(st.atimeNs) / 1e9, Number(st.mtimeNs) / 1e9]
    this.inodes.set(Number(st.ino), file)
    if (file.type === FOLDER) for (const name of readdirSync(path)) if (!apart.has(name)) file.names.set(name, this.read(join(path, name)))
    file.flushedNames = new Map(file.names)
    return file
  }

  /* One record more. */
  apply(record) {
    const at = this.inodes.get(record.a)

    if (record.kind === COMMITTED) {
      if (record.mode >= FULL) this.committed = Math.max(this.committed, record.offset)
    }
    else if (record.kind === SYNC_ALL) this.flushAll()
    else if (!at) throw new Error(`a record of kind ${record.kind} about inode ${record.a}, which nobody made`)
    else if (record.kind === SYNC) this.flush(at)
    else if (record.kind === WRITE || record.kind === TRUNCATE) {
      at.now = changed(at.now, record)
      at.changes.push(record)
      at.times = null
    } else if (record.kind === MODE) at.mode = record.mode
    else this.rename(at, record)
  }

  rename(folder, record) {
    const change = { kind: record.kind, places: [[folder, record.name]], file: null }

    if (record.kind === CREATE) {
      change.file = made(record.mode, (record.mode & TYPE) === FOLDER ? null : Buffer.from(record.bytes))
      if (change.file.type !== SYMLINK && change.file.now) change.file.now = change.file.flushed = Buffer.alloc(0)
      this.inodes.set(record.b, change.file)
    } else if (record.kind === LINK) change.file = this.inodes.get(record.b)
    else change.file = folder.names.get(record.name)
    if (record.kind === RENAME) change.places.push([this.inodes.get(record.b), record.other])
    change.needs = this.pending.filter((before) => this.buildsOn(change, before))
    carryOut(change, 'names')
    this.pending.push(change)
  }

  buildsOn(change, before) {
    if (change.places.some(([folder, name]) => before.places.some(([other, called]) => other === folder && called === name))) return true
    if (change.kind === RENAME || change.kind === LINK) return before.file === change.file && before.kind !== UNLINK
    return change.kind === UNLINK && change.file?.type === FOLDER && before.places.some(([folder]) => folder === change.file)
  }

  flush(file) {
    file.flushedMode = file.mode
    if (file.type !== FOLDER) {
      file.flushed = file.now
      file.changes = []
      return
    }
    const certain = new Set(), add = (change) => {
      if (certain.has(change)) return
      certain.add(change)
      change.needs.forEach(add)
    }
    for (const change of this.pending) if (change.places.some(([folder]) => folder === file)) add(change)
    this.settle(certain)
  }

  settle(certain) {
    for (const change of this.pending) if (certain.has(change)) carryOut(change, 'flushedNames')
    this.pending = this.pending.filter((change) => !certain.has(change))
    for (const change of this.pending) change.needs = change.needs.filter((before) => !certain.has(before))
  }

  flushAll() {
    for (const file of this.inodes.values()) if (file.type !== FOLDER) this.flush(file)
    this.settle(new Set(this.pending))
  }

  /* What the disk may hold when the power goes now. Manner 0: only what is certain. 1: all names, but no content that was not flushed. 2: all contents, but no name that was not flushed. 3 and more: some
   * of both, by chance. The same manner gives the same. */
  hold(manner) {
    const chance = random(manner * 7919 + this.pending.length), keepNames = [0, 1, 0][manner] ?? [0.2, 0.5, 0.8][manner % 3], keepContent = [0, 0, 1][manner] ?? [0.5, 0.2, 0.8][manner % 3]
    const names = new Map(), happened = new Set()
    const namesOf = (folder) => names.get(folder) ?? names.set(folder, new Map(folder.flushedNames)).get(folder)

    for (const change of this.pending) {
      if (chance() >= keepNames || !change.needs.every((before) => happened.has(before))) continue
      happened.add(change)
      carryOut(change, namesOf)
    }
    const copies = new Map() // a file with several names is one file
    const copy = (file) => copies.get(file) ?? copies.set(file, copyOf(file)).get(file)
    const copyOf = (file) => {
      if (file.type === FOLDER) return { type: FOLDER, mode: file.flushedMode, times: null, names: new Map([...namesOf(file)].map(([name, child]) => [name, copy(child)])) }
      return { type: file.type, mode: chance() < keepContent ? file.mode : file.flushedMode, times: file.times, content: file.changes.length ? torn(file, chance, keepContent) : file.flushed }
    }
    return copy(this.top)
  }

  /* Makes the folder on the real disk what `held` says. */
  write(held) {
    for (const name of readdirSync(this.root)) if (!this.apart.has(name)) rmSync(join(this.root, name), { recursive: true, force: true })
    const paths = new Map()
    for (const [name, file] of held.names) writeTree(join(this.root, name), file, paths)
  }
}

function carryOut(change, where) {
  const namesOf = typeof where === 'string' ? (folder) => folder[where] : where
  const [[folder, name], target] = change.places

  if (change.kind === CREATE || change.kind === LINK) namesOf(folder).set(name, change.file)
  else namesOf(folder).delete(name)
  if (target) namesOf(target[0]).set(target[1], change.file)
}

/* `paths`: of the files that were written. */
function writeTree(path, file, paths) {
  if (paths.has(file)) {
    linkSync(paths.get(file), path)
    return
  }
  paths.set(file, path)
  if (file.type === SYMLINK) {
    symlinkSync(file.content.toString(), path)
    return
  }
  if (file.type === FOLDER) {
    mkdirSync(path, 0o700)
    for (const [name, child] of file.names) writeTree(join(path, name), child, paths)
  } else {
    const fd = openSync(path, 'wx', 0o600)
    if (file.content.length) writeSync(fd, file.content)
    closeSync(fd)
  }
  chmodSync(path, file.mode & 0o7777)
  if (file.times) utimesSync(path, ...file.times)
}

function digest(held) {
  const hash = createHash('sha1'), numbers = new Map()
  const add = (path, file) => {
    if (!numbers.has(file)) numbers.set(file, numbers.size)
    hash.update(`${path}\0${numbers.get(file)}\0${file.type}\0${file.mode}\0`)
    if (file.content) hash.update(file.content)
    else for (const name of [...file.names.keys()].sort()) add(`${path}/${name}`, file.names.get(name))
  }

  add('', held)
  return hash.digest('hex')
}

/* All that the disk may hold after a loss of power before or after any flush of the run, in `manners` manners each; what is alike is there once: [{held, at, manner, committed}, ...] in the order of the run.
 * `committed`: the newest entry of which the program had been told by then that it is in its store for good. */
export function cuts(disk, records, manners) {
  const found = new Map()
  const look = (at) => {
    for (let manner = 0; manner < manners; manner++) {
      const held = disk.hold(manner), key = digest(held), before = found.get(key)

      if (before) before.committed = Math.max(before.committed, disk.committed)
      else found.set(key, { held, at, manner, committed: disk.committed })
    }
  }

  records.forEach((record, at) => {
    const flushes = record.kind === SYNC || record.kind === SYNC_ALL

    if (flushes) look(at)
    disk.apply(record)
    if (flushes || record.kind === COMMITTED) look(at + 1)
  })
  look(records.length)
  return [...found.values()]
}

/* Entries, by number, whose commit did not wait for the disk. `newest`: the last one before. */
export function deferred(records, newest) {
  const numbers = []

  for (const { kind, offset, mode } of records) {
    if (kind !== COMMITTED) continue
    for (let number = newest + 1; mode < FULL && number <= offset; number++) numbers.push(number)
    newest = Math.max(newest, offset)
  }
  return numbers
}
