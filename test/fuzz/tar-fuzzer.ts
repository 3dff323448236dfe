// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../bench/random.ts'
import { IntegrityError, LayerError } from '../../lib/errors.ts'
import { loadNative } from '../../lib/launcher/native.ts'
import { LayerDecoder, type LayerSummary } from '../../lib/layer/decode-layer.ts'
import { kDefaultLayerLimits } from '../../lib/layer/limits.ts'
import { removeTree } from '../../lib/layer/remove-tree.ts'
import { unpackStream } from '../../lib/layer/unpack-stream.ts'
import { packageRoot } from '../helpers/package-root.ts'
import { TarMutator } from './tar-mutator.ts'

const kLimits = { ...kDefaultLayerLimits, maxEntries: 1000, maxBytes: 1e9 }
const kMaxArchiveBytes = 64e6
const kMaxMs = 20_000
const kMaxGrowthBytes = 300e6
const kNothing = `sha256:${'0'.repeat(64)}`

export interface FuzzResult {
  inputs: number
  unpacked: number
  refused: number
}

/** An input that broke a promise. */
export class FuzzFinding extends Error {
  readonly input: Buffer
  constructor(input: Buffer, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.input = input
  }
}

/**
 * Unpacks mutated archives until the time is over. The promises: nothing but LayerError and IntegrityError is thrown, the
 * time and the memory that an input takes are bounded, a failure leaves nothing, and nothing outside of the target changes.
 *
 * @param base an empty directory. @throws {FuzzFinding} with the first input that breaks a promise.
 */
export async function fuzzTar(base: string, seed: number, milliseconds: number): Promise<FuzzResult> {
  const target = new FuzzTarget(base)
  const corpus = join(packageRoot(), 'test/fixtures/tar-corpus')
  const seeds = fs
    .readdirSync(corpus)
    .sort()
    .map((name) => fs.readFileSync(join(corpus, name)))
  const random = seededRandom(seed)
  const mutator = new TarMutator(random, seeds, target.temptations)
  const result: FuzzResult = { inputs: 0, unpacked: 0, refused: 0 }
  const resident = process.memoryUsage.rss()
  for (const one of seeds) if (!(await target.try(one, 512))) throw new FuzzFinding(one, 'a seed is refused')
  for (const end = performance.now() + milliseconds; performance.now() < end; result.inputs++) {
    const input = mutator.next()
    result[(await target.try(input, 1 + Math.floor(random() * 3000))) ? 'unpacked' : 'refused']++
  }
  const grown = process.memoryUsage.rss() - resident
  assert.ok(grown < kMaxGrowthBytes, `resident memory grew by ${grown} bytes`)
  return result
}

/** A directory to unpack to, and one beside it that must stay as it is. */
export class FuzzTarget {
  readonly temptations: readonly string[]
  readonly #native = loadNative()
  readonly #base: string
  readonly #outside: string
  readonly #before: string

  constructor(base: string) {
    this.#base = base
    this.#outside = join(base, 'outside')
    fs.mkdirSync(join(this.#outside, 'sub'), { recursive: true })
    fs.writeFileSync(join(this.#outside, 'file'), 'untouched')
    this.#before = this.#look()
    const up = '../'.repeat(20)
    const places = ['outside', 'outside/file', 'outside/new', 'outside/sub'].map((name) => join(base, name))
    this.temptations = [
      ...places,
      ...places.map((place) => up + place.slice(1)),
      '../outside',
      '../outside/file',
      '../../outside/new',
    ]
  }

  /** @returns whether the archive was unpacked, and not refused. @throws {FuzzFinding} */
  async try(input: Buffer, chunkBytes: number): Promise<boolean> {
    try {
      const start = performance.now()
      const isGood = await this.#unpack(input, chunkBytes)
      const ms = performance.now() - start
      assert.ok(ms < kMaxMs, `it took ${Math.round(ms)} ms`)
      assert.equal(this.#look(), this.#before, 'something outside has changed')
      return isGood
    } catch (error) {
      throw new FuzzFinding(input, error)
    }
  }

  async #unpack(input: Buffer, chunkBytes: number): Promise<boolean> {
    const targetDir = join(this.#base, 'layer')
    try {
      const { chunks, summary } = await decode(input, chunkBytes)
      unpackStream(
        this.#native,
        { chunks, summary: () => summary },
        {
          layer: 'fuzz',
          targetDir,
          limits: kLimits,
          ownerMap: process.geteuid?.() === 0 ? 'preserve' : 'current-user',
        },
      )
    } catch (error) {
      if (!(error instanceof LayerError || error instanceof IntegrityError)) throw error
      assert.ok(!fs.existsSync(targetDir), 'a refused layer is still there')
      return false
    }
    assert.equal(this.#look(), this.#before, 'something outside has changed')
    removeTree(this.#native, this.#native.fsConstants.AT_FDCWD, targetDir)
    return true
  }

  /** All that can be seen of what must not change. */
  #look(): string {
    const names = fs.readdirSync(this.#base).filter((name) => name !== 'layer')
    const stats = ['.', 'file', 'sub'].map((name) => {
      const { mode, uid, gid, nlink, size, mtimeMs } = fs.lstatSync(join(this.#outside, name))
      return [name, mode, uid, gid, nlink, name === 'file' ? size : 0, mtimeMs]
    })
    return JSON.stringify([names, fs.readdirSync(this.#outside), stats])
  }
}

async function decode(input: Buffer, chunkBytes: number): Promise<{ chunks: Buffer[]; summary: LayerSummary }> {
  const cut = async function* () {
    for (let at = 0; at < input.length; at += chunkBytes) yield input.subarray(at, at + chunkBytes)
  }
  const decoder = new LayerDecoder(cut(), 'fuzz')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of decoder.chunks()) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > kMaxArchiveBytes) return { chunks, summary: { digest: kNothing, diffId: kNothing, compressedBytes: 0 } }
  }
  return { chunks, summary: decoder.summary() }
}
