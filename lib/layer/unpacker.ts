// SPDX-License-Identifier: MIT
import { availableParallelism } from 'node:os'
import { Turns } from '../async/turns.ts'
import { WherryError } from '../errors.ts'
import type { OwnerMap } from './entry-metadata.ts'
import { GrowingFile } from './growing-file.ts'
import { Forwarder } from './stream-forwarder.ts'
import { type PairJob, ThreadPair } from './thread-pair.ts'
import { checkUnpackOptions, chooseOwnerMap, type UnpackLayerOptions } from './unpack-options.ts'
import type { UnpackResult } from './unpack-stream.ts'
import type { FeedSource } from './worker-protocol.ts'

const kIdleMs = 5000
/** One that waits for its bytes, which takes no time, should not hold up another. */
const kLeastPairs = 2

export interface UnpackerOptions {
  /** Layers unpacked at one time; more wait. @default the number of processors, at least 2 */
  maxPairs?: number
  /** How long threads wait for another layer before they end. @default 5000 */
  idleMs?: number
}

interface IdlePair {
  pair: ThreadPair
  timer: NodeJS.Timeout
}

/** Unpacks layers on threads that are kept for a while: starting them takes as long as a small layer. */
export class Unpacker {
  readonly #maxPairs: number
  readonly #idleMs: number
  readonly #idle: IdlePair[] = []
  readonly #busy = new Set<ThreadPair>()
  readonly #turns = new Turns()
  #ownerMap: Promise<OwnerMap> | undefined
  #isClosed = false

  constructor(options: UnpackerOptions = {}) {
    this.#maxPairs = options.maxPairs ?? Math.max(kLeastPairs, availableParallelism())
    this.#idleMs = options.idleMs ?? kIdleMs
  }

  /**
   * Unpacks one image layer into a directory that serves as a layer of an overlay mount with `userxattr`: owners, modes,
   * times in nanoseconds, attributes, hard links, devices and holes as in the archive, whiteouts as character devices
   * 0/0, opaque directories marked by `user.overlay.opaque`.
   *
   * A failure or an abort leaves nothing behind, and a stream given as `source` destroyed.
   *
   * @throws {LayerError} when the archive is malformed, hostile or over a limit.
   * @throws {IntegrityError} when a digest is not the expected one.
   * @throws {SyscallError} when the host fails: ENOSPC, EACCES and the like.
   * @throws {ConflictError} when `targetDir` exists.
   * @source OCI image-spec v1.1.0, layer.md, https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
   */
  async unpack(options: UnpackLayerOptions): Promise<UnpackResult> {
    this.#ownerMap ??= chooseOwnerMap()
    const streamOptions = checkUnpackOptions(options, await this.#ownerMap)
    const { source, signal } = options
    const pair = await this.#take(signal)
    const forwarder = typeof source === 'string' || source instanceof GrowingFile ? undefined : new Forwarder(source)
    const stop = (): void => pair.stop()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      signal?.throwIfAborted()
      const job: PairJob = { ...jobSource(source, forwarder), options: streamOptions }
      const running = pair.run(job)
      forwarder?.start(stop)
      return await running
    } catch (error) {
      signal?.throwIfAborted()
      throw forwarder?.failure ?? (source instanceof GrowingFile ? source.failure : undefined) ?? error
    } finally {
      signal?.removeEventListener('abort', stop)
      forwarder?.close()
      this.#release(pair)
    }
  }

  /** Starts threads for so many layers that will come soon, as far as there may be more of them. */
  prepare(layers: number): void {
    if (this.#isClosed) return
    const missing = Math.min(layers, this.#maxPairs) - this.#busy.size - this.#idle.length
    for (let started = 0; started < missing; started++) this.#keep(new ThreadPair())
  }

  /** Ends the threads; unpacking that still runs fails. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { timer } of this.#idle) clearTimeout(timer)
    const pairs = [...this.#idle.splice(0).map(({ pair }) => pair), ...this.#busy]
    this.#turns.all()
    await Promise.all(pairs.map((pair) => pair.close()))
  }

  async #take(signal: AbortSignal | undefined): Promise<ThreadPair> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.#isClosed) throw new WherryError('The unpacker is closed.', { code: 'ERR_ENGINE_CLOSED' })
      const idle = this.#idle.pop()
      if (idle !== undefined) clearTimeout(idle.timer)
      if (idle?.pair.isUsable === false) continue
      if (idle !== undefined || this.#busy.size < this.#maxPairs) {
        const pair = idle?.pair ?? new ThreadPair()
        this.#busy.add(pair)
        return pair
      }
      await this.#turns.wait(signal)
    }
  }

  #release(pair: ThreadPair): void {
    this.#busy.delete(pair)
    if (pair.isUsable && !this.#isClosed) this.#keep(pair)
    this.#turns.next()
  }

  #keep(pair: ThreadPair): void {
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((idle) => idle.pair === pair)
      if (at >= 0) this.#idle.splice(at, 1)
      void pair.close()
    }, this.#idleMs)
    timer.unref()
    this.#idle.push({ pair, timer })
  }
}

function jobSource(
  source: UnpackLayerOptions['source'],
  forwarder: Forwarder | undefined,
): { source: FeedSource; wakeFeeder: () => void } {
  if (forwarder !== undefined) {
    return { source: { kind: 'messages', port: forwarder.port }, wakeFeeder: () => forwarder.sendStop() }
  }
  if (source instanceof GrowingFile) {
    return { source: { kind: 'growing', handle: source.handle }, wakeFeeder: () => source.wakeReader() }
  }
  return { source: { kind: 'file', path: String(source) }, wakeFeeder: () => {} }
}
