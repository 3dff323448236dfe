// SPDX-License-Identifier: MIT
import { open, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { MessageChannel } from 'node:worker_threads'
import { InvalidOptionError } from '../errors.ts'
import type { IdMap } from '../oci/build-spec.ts'
import type { Digest } from '../oci/digest.ts'
import type { Compression } from './compression.ts'
import { checkLayerLimits, type LayerLimits } from './limits.ts'
import { checkCompression } from './pack-compress.ts'
import type { FromPacker, PackJob, PackOutcome, PackTarget, ToPacker } from './pack-protocol.ts'
import { runPackThread } from './pack-thread.ts'

/** Bytes of a stream that wait to be read, at most. */
const kWindowBytes = 4 * 1024 * 1024

export interface PackOptions {
  /** Names the tree in errors. @default the directory's path */
  layer?: string | undefined
  /** @default 'gzip' */
  compression?: Compression | undefined
  /** 1 to 9 for gzip, 1 to 22 for zstd. @default 6 for gzip, 3 for zstd */
  level?: number | undefined
  /**
   * Whether the tree is a layer, where devices 0/0 and marked files hide names below and become `.wh.` entries, and opaque
   * directories get their mark. Without, it is packed as it stands. @default true
   */
  whiteouts?: boolean | undefined
  /** Gives files the ids that a container with this map sees. @default ids as they are on the disk */
  idMap?: IdMap | undefined
  /** Seconds since the epoch: times from then on become this one, so that builds can be repeated. @default no bound */
  clampSeconds?: number | undefined
  /** @default kDefaultLayerLimits */
  limits?: Partial<LayerLimits> | undefined
  /** Whether the tree itself is on the disk afterwards, because it will stay as a layer. @default false */
  durable?: boolean | undefined
  /** Socket of a process that reads the tree with other privileges (native/file_server.cc); then `directory` is a descriptor. */
  server?: number | undefined
  signal?: AbortSignal | undefined
}

/** What {@link packLayer} has made. */
export interface PackResult extends PackOutcome {
  digest: Digest
  /** Digest of the archive before compression. */
  diffId: Digest
}

/**
 * Packs a tree, an unpacked layer or an overlay's upper directory, into the blob of a layer. All work is done by a thread of
 * its own, in memory that depends neither on the sizes of files nor on their number, save for the names of one directory and
 * the paths of files with several names.
 *
 * The same tree gives the same archive, wherever it lies and in whatever order it was made. It holds the root as `./`, then
 * all else in the order of the paths' bytes; whole seconds in the headers and the rest in PAX records; numeric owners without
 * names; attributes sorted; files with several names once, under the first. Holes are written as zeros: where they are is a
 * matter of the file system and not of the content. Sockets are left out. Overlay's own attributes are never written, and
 * what is mounted in the tree is not entered. A compressed blob depends on the version of zlib (or zstd) in Node too.
 *
 * The tree may change meanwhile, and nothing outside of it is ever read. What is gone when its turn comes is left out; of a
 * file the length is taken that it has when it is opened: what it grows by is left out, and when it shrinks, zeros stand for
 * what is missing and `shrunk` names it.
 *
 * @param directory its path, or an open descriptor of it, which stays the caller's.
 * @param target of the blob: a file that must not exist. A failure or an abort leaves none.
 * @throws {LayerError} for a tree that is over a limit, or that a layer cannot express.
 * @throws {SyscallError} when the host fails: EACCES, ENOENT, EIO and the like.
 * @throws {UnsupportedHostError} for zstd with a Node that has none.
 * @source OCI image-spec v1.1.0, layer.md, https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
 */
export async function packLayer(
  directory: string | number,
  target: string,
  options: PackOptions = {},
): Promise<PackResult> {
  options.signal?.throwIfAborted()
  checkPackOptions(options)
  const path = resolve(target)
  const file = await open(path, 'wx', 0o600)
  try {
    // The umask may have taken even that, and the file is read again.
    await file.chmod(0o600)
    const result = await runPackThread(makeJob(directory, { kind: 'file', fd: file.fd }, options), options.signal)
    await file.close()
    return result as PackResult
  } catch (error) {
    await file.close()
    await rm(path, { force: true })
    throw error
  }
}

/**
 * Packs a tree as {@link packLayer} does, into a stream; destroying that ends the work.
 *
 * @param onResult hears what the tree turned out to be, before the stream ends.
 */
export function packStream(
  directory: string | number,
  options: PackOptions = {},
  onResult?: (result: PackResult) => void,
): Readable {
  checkPackOptions(options)
  return Readable.from(packedChunks(directory, options, onResult), { objectMode: false, highWaterMark: 1 })
}

async function* packedChunks(
  directory: string | number,
  options: PackOptions,
  onResult: ((result: PackResult) => void) | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const { port1, port2 } = new MessageChannel()
  const stop = new AbortController()
  const abort = (): void => stop.abort(options.signal?.reason)
  options.signal?.addEventListener('abort', abort, { once: true })
  const queue: FromPacker[] = []
  let wake = (): void => {}
  port1.on('message', (message: FromPacker) => {
    queue.push(message)
    wake()
  })
  try {
    options.signal?.throwIfAborted()
    const target: PackTarget = { kind: 'messages', port: port2, windowBytes: kWindowBytes }
    let failure: unknown
    const running = runPackThread(makeJob(directory, target, options), stop.signal)
    running.catch((error: unknown) => {
      failure = error
      wake()
    })
    for (;;) {
      const message = queue.shift()
      if (message === null) break
      if (message === undefined) {
        if (failure !== undefined) throw failure
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      } else {
        yield Buffer.from(message)
        port1.postMessage(message.byteLength satisfies ToPacker)
      }
    }
    onResult?.((await running) as PackResult)
  } finally {
    options.signal?.removeEventListener('abort', abort)
    stop.abort()
    port1.close()
  }
}

/** @throws {InvalidOptionError} @throws {UnsupportedHostError} */
function checkPackOptions({ compression = 'gzip', level, clampSeconds, limits }: PackOptions): void {
  checkCompression(compression)
  checkLayerLimits('limits', limits)
  const highest = compression === 'zstd' ? 22 : 9
  if (level !== undefined && !(Number.isInteger(level) && level >= 1 && level <= highest)) {
    throw new InvalidOptionError('level', `a whole number from 1 to ${highest}`, level)
  }
  if (clampSeconds !== undefined && !Number.isSafeInteger(clampSeconds)) {
    throw new InvalidOptionError('clampSeconds', 'whole seconds since the epoch', clampSeconds)
  }
}

function makeJob(directory: string | number, target: PackTarget, options: PackOptions): PackJob {
  const { compression = 'gzip', level, whiteouts = true, idMap, clampSeconds, durable = false } = options
  const limits = checkLayerLimits('limits', options.limits)
  const from = typeof directory === 'number' ? directory : resolve(directory)
  const layer = options.layer ?? (typeof from === 'number' ? 'a directory' : from)
  const tree = { layer, limits, whiteouts, idMap, clampSeconds }
  return { kind: 'pack', directory: from, target, compression, level, durable, tree, server: options.server }
}
