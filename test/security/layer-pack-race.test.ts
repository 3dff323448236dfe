// SPDX-License-Identifier: MIT
// A container that goes on changing its files while they are packed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { loadNative } from '../../lib/launcher/native.ts'
import { kDefaultLayerLimits } from '../../lib/layer/limits.ts'
import { packStream } from '../../lib/layer/pack-layer.ts'
import { openDirectory } from '../../lib/layer/pack-open.ts'
import { kPackChunkBytes, TreePacker } from '../../lib/layer/pack-tree.ts'
import { TarParser } from '../../lib/layer/tar-parser.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'

checkLeftovers()

const kSecret = 'a secret of the host that no archive may hold'
const kRounds = 10

function makePlace(t: TestContext): { base: string; tree: string; outside: string } {
  const base = fs.mkdtempSync(join(tmpdir(), 'wherry-race-'))
  t.after(() => fs.rmSync(base, { recursive: true, force: true }))
  const outside = join(base, 'outside')
  fs.mkdirSync(outside)
  fs.writeFileSync(join(outside, 'secret'), kSecret)
  fs.mkdirSync(join(base, 'tree'))
  return { base, tree: join(base, 'tree'), outside }
}

/** Swaps things in a thread of its own, as fast as it can, until the test is done. */
async function attack(t: TestContext, script: string): Promise<() => Promise<void>> {
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const code = `
    const fs = require('node:fs')
    const { parentPort, workerData: stop } = require('node:worker_threads')
    const quietly = (f) => { try { f() } catch {} }
    parentPort.postMessage('started')
    while (Atomics.load(stop, 0) === 0) { ${script} }`
  const worker = new Worker(code, { eval: true, workerData: stop })
  const exited = new Promise<void>((done) => worker.once('exit', () => done()))
  await new Promise((done) => worker.once('message', done))
  const end = async (): Promise<void> => {
    Atomics.store(stop, 0, 1)
    await exited
  }
  t.after(end)
  return end
}

/** Names in an archive; it fails where our own reader does. */
function namesIn(archive: Buffer): string[] {
  const names: string[] = []
  const parser = new TarParser('race', {
    entry: (entry) => {
      names.push(entry.path)
    },
    data() {},
    entryEnd() {},
  })
  parser.push(archive)
  parser.end()
  return names
}

test('links swapped in for a file and for a directory lead nowhere', async (t) => {
  const { base, tree, outside } = makePlace(t)
  fs.mkdirSync(join(base, 'aside'))
  fs.mkdirSync(join(tree, 'dir'))
  fs.writeFileSync(join(tree, 'dir/secret'), 'harmless')
  fs.writeFileSync(join(tree, 'file'), 'harmless')
  const names = [join(tree, 'dir'), join(base, 'aside/dir'), join(tree, 'file'), join(base, 'aside/file'), outside]
  const [dir, dirAside, file, fileAside, target] = names.map((name) => JSON.stringify(name))
  const end = await attack(
    t,
    `quietly(() => { fs.renameSync(${dir}, ${dirAside}); fs.symlinkSync(${target}, ${dir}) })
     quietly(() => { fs.renameSync(${file}, ${fileAside}); fs.symlinkSync(${target} + '/secret', ${file}) })
     quietly(() => { fs.unlinkSync(${dir}); fs.renameSync(${dirAside}, ${dir}) })
     quietly(() => { fs.unlinkSync(${file}); fs.renameSync(${fileAside}, ${file}) })`,
  )
  for (let round = 0; round < kRounds; round++) {
    const archive = await buffer(packStream(tree, { compression: 'none' }))
    assert.ok(!archive.includes(kSecret))
    assert.ok(namesIn(archive).includes('./'))
  }
  await end()
})

test('files that come and go, shrink and grow, leave a whole archive', async (t) => {
  const { tree } = makePlace(t)
  for (let i = 0; i < 30; i++) fs.writeFileSync(join(tree, `stays-${i}`), 'x'.repeat(i * 1000))
  const at = JSON.stringify(`${tree}/`)
  const end = await attack(
    t,
    `quietly(() => fs.writeFileSync(${at} + 'comes', 'x'.repeat(300000)))
     quietly(() => fs.truncateSync(${at} + 'comes', 1000))
     quietly(() => fs.appendFileSync(${at} + 'comes', 'y'.repeat(5000)))
     quietly(() => fs.linkSync(${at} + 'comes', ${at} + 'link'))
     quietly(() => fs.unlinkSync(${at} + 'comes'))
     quietly(() => fs.mkdirSync(${at} + 'link/sub', { recursive: true }))
     quietly(() => fs.mkdirSync(${at} + 'comes/sub', { recursive: true }))
     quietly(() => fs.rmSync(${at} + 'comes', { recursive: true }))
     quietly(() => fs.rmSync(${at} + 'link', { recursive: true }))`,
  )
  for (let round = 0; round < kRounds; round++) {
    const names = namesIn(await buffer(packStream(tree, { compression: 'none' })))
    for (let i = 0; i < 30; i++) assert.ok(names.includes(`stays-${i}`), `stays-${i} in round ${round}`)
  }
  await end()
})

/** Packs on this thread, so that the test acts between two chunks: at the same point each time. */
function packing(t: TestContext, tree: string) {
  const native = loadNative()
  const options = {
    layer: 'race',
    limits: kDefaultLayerLimits,
    whiteouts: true,
    idMap: undefined,
    clampSeconds: undefined,
  }
  const packer = new TreePacker(native, options, () => Buffer.alloc(kPackChunkBytes))
  const rootFd = openDirectory(native, tree)
  t.after(() => native.close(rootFd))
  return { packer, chunks: packer.chunks(rootFd) }
}

test('what stands in the place of a listed name is taken for what it is', (t) => {
  const { tree, outside } = makePlace(t)
  fs.mkdirSync(join(tree, 'dir'))
  fs.writeFileSync(join(tree, 'dir/secret'), 'harmless')
  for (const name of ['fifo', 'gone', 'secret']) fs.writeFileSync(join(tree, name), 'harmless')
  fs.writeFileSync(join(tree, 'a'), Buffer.alloc(3_000_000))
  const { chunks } = packing(t, tree)
  const parts: Buffer[] = []
  for (const chunk of chunks) {
    if (parts.length === 0) {
      for (const name of fs.readdirSync(tree)) if (name !== 'a') fs.rmSync(join(tree, name), { recursive: true })
      fs.symlinkSync(outside, join(tree, 'dir'))
      fs.symlinkSync(join(outside, 'secret'), join(tree, 'secret'))
      // Whoever opened it for reading would wait for a writer.
      execFileSync('mkfifo', [join(tree, 'fifo')])
    }
    parts.push(chunk)
  }
  const archive = Buffer.concat(parts)
  assert.deepEqual(namesIn(archive), ['./', 'a', 'dir', 'fifo', 'secret'])
  assert.ok(!archive.includes(kSecret))
})

test('a file that shrinks while it is read is filled up with zeros, and named', (t) => {
  const { tree } = makePlace(t)
  fs.writeFileSync(join(tree, 'big'), Buffer.alloc(5_000_000, 'b'))
  fs.writeFileSync(join(tree, 'later'), 'whole')
  const { packer, chunks } = packing(t, tree)
  const parts: Buffer[] = []
  for (const chunk of chunks) {
    if (parts.length === 0) fs.truncateSync(join(tree, 'big'), 2_000_000)
    parts.push(chunk)
  }
  const archive = Buffer.concat(parts)
  assert.deepEqual(namesIn(archive), ['./', 'big', 'later'])
  assert.deepEqual(packer.summary.shrunk, ['big'])
  assert.ok(archive.includes('whole'))
})

test('a directory moved out of the tree is not left on the way back up', (t) => {
  const { base, tree, outside } = makePlace(t)
  const deep = Array.from({ length: 100 }, () => 'd')
  fs.mkdirSync(join(tree, ...deep), { recursive: true })
  // Two chunks in the deepest directory: between them, one on the way up changes places with another.
  fs.writeFileSync(join(tree, ...deep, 'big'), Buffer.alloc(3_000_000))
  fs.writeFileSync(join(tree, ...deep.slice(0, 10), 'z'), 'after')
  const { chunks } = packing(t, tree)
  assert.equal(chunks.next().done, false)
  fs.renameSync(join(tree, 'd/d'), join(base, 'moved'))
  fs.symlinkSync(outside, join(tree, 'd/d'))
  const parts: Buffer[] = []
  assert.throws(() => parts.push(...chunks), /moved or removed while its tree was read/)
  assert.ok(!Buffer.concat(parts).includes(kSecret))
})
