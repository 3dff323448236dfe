// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { InvalidOptionError, LayerError, SyscallError, UnsupportedHostError } from '../../../lib/errors.ts'
import { type PackOptions, packLayer, packStream } from '../../../lib/layer/pack-layer.ts'
import { Unpacker } from '../../../lib/layer/unpacker.ts'
import { checkLeftovers } from '../../helpers/leftovers.ts'
import { needs } from '../../helpers/needs.ts'
import { describeTree, makeRichTree } from '../../helpers/rich-tree.ts'

checkLeftovers()

function tempDir(t: TestContext): string {
  const dir = fs.mkdtempSync(join(tmpdir(), 'wherry-pack-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Members of an archive as GNU tar lists them. */
function listTar(path: string): string[] {
  return execFileSync('tar', ['--quoting-style=escape', '-tf', path], { encoding: 'utf8' }).split('\n').slice(0, -1)
}

async function unpack(source: string, targetDir: string): Promise<void> {
  const unpacker = new Unpacker({ maxPairs: 1 })
  try {
    await unpacker.unpack({ source, layer: 'test', targetDir, durable: false })
  } finally {
    await unpacker.close()
  }
}

/** A thing of a tree, to be made at a name. */
interface Thing {
  name: Buffer
  kind: 'file' | 'directory' | 'symlink' | 'hardlink'
  mode: number
  bytes: number
  seconds: number
  millis: number
  /** Which of the directories made so far holds it. */
  place: number
}

const thing: fc.Arbitrary<Thing> = fc.record({
  name: fc
    .array(fc.constantFrom(0x61, 0x62, 0x2d, 0x2e, 0x7e, 0x20, 0xc3, 0xa9, 0xff), { minLength: 1, maxLength: 130 })
    .map((bytes) => Buffer.from(bytes))
    .filter((name) => !/^\.{1,2}$/.test(name.toString('latin1'))),
  kind: fc.constantFrom('file', 'directory', 'symlink', 'hardlink'),
  mode: fc.constantFrom(0o644, 0o755, 0o4711, 0o600, 0o1777),
  bytes: fc.constantFrom(0, 1, 511, 512, 513, 5000, 262_144, 262_145, 1_100_000),
  // Not before the epoch: Node takes that for "now".
  seconds: fc.integer({ min: 0, max: 2_000_000_000 }),
  millis: fc.constantFrom(0, 1, 500, 999),
  place: fc.nat(),
})

/** Makes a tree; in `reversed` order where that gives the same one: names first come, first served. */
function makeTree(root: string, things: readonly Thing[], reversed: boolean): void {
  fs.mkdirSync(root)
  const made = new Map<string, { path: Buffer; from: Thing }>()
  const dirs = [Buffer.from(root)]
  const files: Buffer[] = []
  for (const from of things) {
    const path = Buffer.concat([dirs[from.place % dirs.length] as Buffer, Buffer.from('/'), from.name])
    const key = path.toString('latin1')
    if (path.length > 3000 || made.has(key) || (from.kind === 'hardlink' && files.length === 0)) continue
    made.set(key, { path, from })
    if (from.kind === 'directory') dirs.push(path)
    if (from.kind === 'file') files.push(path)
  }
  const all = [...made.values()]
  const isDir = ({ from }: { from: Thing }): boolean => from.kind === 'directory'
  for (const { path } of all.filter(isDir)) fs.mkdirSync(path)
  const rest = all.filter((each) => !isDir(each) && each.from.kind !== 'hardlink')
  for (const { path, from } of reversed ? rest.reverse() : rest) {
    if (from.kind === 'symlink') fs.symlinkSync(from.name, path)
    else fs.writeFileSync(path, Buffer.alloc(from.bytes, from.name))
  }
  for (const { path, from } of all) {
    if (from.kind === 'hardlink') fs.linkSync(files[from.place % files.length] as Buffer, path)
  }
  // Last: what is made in a directory changes its time.
  for (const { path, from } of all.reverse()) {
    const time = from.seconds + from.millis / 1000
    if (from.kind === 'symlink') fs.lutimesSync(path, time, time)
    if (from.kind !== 'file' && from.kind !== 'directory') continue
    fs.chmodSync(path, from.mode)
    fs.utimesSync(path, time, time)
  }
  fs.utimesSync(root, 1, 1)
}

test('any tree comes back as it was, and twice made gives the same digest', async (t) => {
  const base = tempDir(t)
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(thing, { maxLength: 25 }), async (things) => {
      const dir = join(base, `run-${run++}`)
      fs.mkdirSync(dir)
      makeTree(join(dir, 'tree'), things, false)
      makeTree(join(dir, 'again'), things, true)
      const first = await packLayer(join(dir, 'tree'), join(dir, 'first'), { compression: 'none' })
      const second = await packLayer(join(dir, 'again'), join(dir, 'second'), { compression: 'none' })
      assert.equal(first.diffId, second.diffId)
      await unpack(join(dir, 'first'), join(dir, 'out'))
      assert.equal(describeTree(join(dir, 'out')), describeTree(join(dir, 'tree')))
      fs.rmSync(dir, { recursive: true })
    }),
    { numRuns: 12 },
  )
})

test('owners, devices, attributes, links and holes come back, from a file and from a stream', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const dir = tempDir(t)
  makeRichTree(join(dir, 'tree'))
  const packed = await packLayer(join(dir, 'tree'), join(dir, 'blob'))
  await unpack(join(dir, 'blob'), join(dir, 'out'))
  assert.equal(describeTree(join(dir, 'out')), describeTree(join(dir, 'tree')))
  assert.equal(packed.sizeBytes, fs.statSync(join(dir, 'blob')).size)
  const digest = execFileSync('sha256sum', [join(dir, 'blob')], { encoding: 'utf8' }).slice(0, 64)
  assert.equal(packed.digest, `sha256:${digest}`)
  let result: unknown
  const streamed = await buffer(packStream(join(dir, 'tree'), {}, (each) => (result = each)))
  assert.ok(streamed.equals(fs.readFileSync(join(dir, 'blob'))))
  assert.deepEqual(result, packed)
})

test('names are in the order of their bytes, the root first', async (t) => {
  const dir = tempDir(t)
  const tree = join(dir, 'tree')
  for (const name of ['b/z', 'a', 'a-b', 'B', 'a.c']) fs.mkdirSync(join(tree, name), { recursive: true })
  fs.writeFileSync(join(tree, 'a/x'), '')
  await packLayer(tree, join(dir, 'tar'), { compression: 'none' })
  assert.deepEqual(listTar(join(dir, 'tar')), ['./', 'B/', 'a-b/', 'a.c/', 'a/', 'a/x', 'b/', 'b/z/'])
})

test('overlay marks become a layer’s marks, and attributes of overlay go', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const dir = tempDir(t)
  const upper = join(dir, 'upper')
  const make = (when: string): string => `
    rm -rf upper; mkdir -p upper/opaque upper/plain upper/trusted; cd upper
    mknod gone c 0 0; ln gone plain/gone-too; touch -d '${when}' gone
    : > marked; setfattr -n user.overlay.whiteout -v y marked; : > opaque/kept
    setfattr -n user.overlay.opaque -v y opaque; setfattr -n trusted.overlay.opaque -v y trusted
    setfattr -n user.overlay.origin -v x plain; setfattr -n user.overlay.impure -v y .; setfattr -n user.mine -v 1 plain
    setfattr -n user.overlay.opaque -v x plain
    touch -d @1 opaque/kept opaque plain trusted .`
  const pack = (options: PackOptions = {}) =>
    packLayer(upper, join(dir, `tar-${n++}`), { compression: 'none', ...options })
  let n = 0
  execFileSync('sh', ['-ec', make('2001-01-01')], { cwd: dir })
  const first = await pack()
  const names = ['./', '.wh.gone', '.wh.marked', 'opaque/', 'opaque/.wh..wh..opq', 'opaque/kept', 'plain/']
  assert.deepEqual(listTar(join(dir, 'tar-0')), [...names, 'plain/.wh.gone-too', 'trusted/', 'trusted/.wh..wh..opq'])
  assert.ok(!fs.readFileSync(join(dir, 'tar-0')).includes('overlay'))
  assert.ok(fs.readFileSync(join(dir, 'tar-0')).includes('SCHILY.xattr.user.mine=1'))
  execFileSync('sh', ['-ec', make('2011-01-01')], { cwd: dir })
  assert.equal((await pack()).diffId, first.diffId)
  await unpack(join(dir, 'tar-0'), join(dir, 'out'))
  assert.equal(fs.statSync(join(dir, 'out/plain/gone-too')).rdev, 0)
  await pack({ whiteouts: false })
  assert.ok(listTar(join(dir, 'tar-2')).includes('gone'))
})

test('what a layer cannot express is refused by name', async (t) => {
  if (!needs(t, 'root', 'command:setfattr')) return
  const dir = tempDir(t)
  const tree = join(dir, 'tree')
  const refused = async (script: string, pattern: RegExp, options: PackOptions = {}): Promise<void> => {
    execFileSync('sh', ['-ec', `rm -rf tree; mkdir -p tree/d; cd tree; ${script}`], { cwd: dir })
    await assert.rejects(packLayer(tree, join(dir, 'blob'), options), (error) => {
      assert.ok(error instanceof LayerError, String(error))
      assert.match(error.message, pattern)
      return true
    })
    assert.deepEqual(fs.readdirSync(dir), ['tree'])
  }
  await refused(': > d/.wh.x', /entry "d\/\.wh\.x": its name begins with \.wh\./)
  await refused('setfattr -n trusted.overlay.redirect -v /x d', /entry "d": overlayfs has it from elsewhere/)
  await refused('chown 5 d', /entry "d": its owner 5:0 is not in the container's id map/, {
    idMap: [{ containerId: 1, hostId: 0, size: 1 }],
  })
  await refused(': > a', /more than 2 entries/, { limits: { maxEntries: 2 } })
  await refused('truncate -s 1G big', /more than 1000 bytes/, { limits: { maxBytes: 1000 } })
  await refused('mkdir -p d/e/f', /deeper than 2 directories/, { limits: { maxPathDepth: 2 } })
})

test('sockets are left out, ids are mapped, late times are clamped', async (t) => {
  if (!needs(t, 'root')) return
  const dir = tempDir(t)
  const tree = join(dir, 'tree')
  const script = `mkdir tree; cd tree; : > late; : > early; touch -d @100.5 early; chown 100005:100006 late early .
    exec python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s")'`
  execFileSync('sh', ['-ec', script], { cwd: dir })
  const idMap = [{ containerId: 0, hostId: 100_000, size: 1000 }]
  fs.chownSync(join(tree, 's'), 100_000, 100_000)
  const packed = await packLayer(tree, join(dir, 'tar'), { compression: 'none', idMap, clampSeconds: 1000 })
  assert.equal(packed.skipped, 1)
  await unpack(join(dir, 'tar'), join(dir, 'out'))
  const [late, early] = ['late', 'early'].map((name) => fs.statSync(join(dir, 'out', name)))
  assert.deepEqual([late?.uid, late?.gid, late?.mtimeMs, early?.mtimeMs], [5, 6, 1_000_000, 100_500])
})

test('deep trees need few descriptors, and names of any bytes may be long', async (t) => {
  const dir = tempDir(t)
  const tree = join(dir, 'tree')
  const deep = Array.from({ length: 150 }, (_, i) => `d${i}`)
  for (let i = 1; i <= deep.length; i++) {
    fs.mkdirSync(join(tree, ...deep.slice(0, i)), { recursive: true })
    fs.writeFileSync(join(tree, ...deep.slice(0, i), 'z'), 'after what is below')
  }
  const packed = await packLayer(tree, join(dir, 'blob'))
  assert.equal(packed.entries, 301)
  await unpack(join(dir, 'blob'), join(dir, 'out'))
  assert.equal(describeTree(join(dir, 'out')), describeTree(tree))
})

test('an abort, a bad option and a host’s failure leave no blob', async (t) => {
  const dir = tempDir(t)
  const tree = join(dir, 'tree')
  fs.mkdirSync(tree)
  fs.writeFileSync(join(tree, 'zeros'), '')
  fs.truncateSync(join(tree, 'zeros'), 4 * 1024 ** 3)
  const controller = new AbortController()
  const reason = new Error('enough')
  const packing = packLayer(tree, join(dir, 'blob'), { signal: controller.signal })
  setImmediate(() => controller.abort(reason))
  await assert.rejects(packing, (error) => error === reason)
  const stream = packStream(tree, { compression: 'none' })
  for await (const chunk of stream) {
    assert.ok(chunk.length > 0)
    break
  }
  assert.ok(stream.destroyed)
  await assert.rejects(packLayer(tree, join(dir, 'blob'), { level: 10 }), InvalidOptionError)
  await assert.rejects(packLayer(join(dir, 'absent'), join(dir, 'blob')), SyscallError)
  if (!('createZstdCompress' in (await import('node:zlib')))) {
    await assert.rejects(packLayer(tree, join(dir, 'blob'), { compression: 'zstd' }), UnsupportedHostError)
  }
  fs.writeFileSync(join(dir, 'taken'), 'mine')
  await assert.rejects(packLayer(tree, join(dir, 'taken')), { code: 'EEXIST' })
  assert.equal(fs.readFileSync(join(dir, 'taken'), 'utf8'), 'mine')
  assert.deepEqual(fs.readdirSync(dir).sort(), ['taken', 'tree'])
})
