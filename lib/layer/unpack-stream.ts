// SPDX-License-Identifier: MIT
import { createHash } from 'node:crypto'
import { ConflictError, IntegrityError, LayerError, SyscallError } from '../errors.ts'
import { type FsNative, isNativeError } from '../launcher/fs-native.ts'
import { decompress, detectCompression } from './compression.ts'
import type { OwnerMap } from './entry-metadata.ts'
import { LayerWriter } from './layer-writer.ts'
import type { LayerLimits } from './limits.ts'
import { removeTree } from './remove-tree.ts'
import { TarParser } from './tar-parser.ts'

/** What an unpacked layer turned out to be. */
export interface UnpackResult {
  /** Of the bytes as they came: `sha256:…`. */
  digest: string
  /** Of the archive, uncompressed: `sha256:…`. */
  diffId: string
  compressedBytes: number
  /** Sum of the sizes of the layer's files, holes included. */
  sizeBytes: number
  entries: number
}

export interface UnpackStreamOptions {
  /** Names the layer in errors. */
  layer: string
  /** Must not exist; its parent must. */
  targetDir: string
  limits: LayerLimits
  ownerMap: OwnerMap
  expectedDigest?: string | undefined
  expectedDiffId?: string | undefined
  /** Whether all is on the disk afterwards. @default false */
  durable?: boolean
  /** Throws to stop the work. Called between chunks and entries. */
  check: () => void
}

/**
 * Unpacks one layer on the calling thread, which it blocks for the time of each chunk: a worker's work. A failed unpack
 * leaves nothing behind.
 *
 * @param source is read to its end; a chunk may be reused once the next one is asked for.
 */
export async function unpackStream(
  native: FsNative,
  source: AsyncIterable<Buffer>,
  options: UnpackStreamOptions,
): Promise<UnpackResult> {
  const { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW } = native.fsConstants
  makeTarget(native, options.targetDir)
  let rootFd = -1
  let writer: LayerWriter | undefined
  try {
    rootFd = native.openat2(AT_FDCWD, options.targetDir, { flags: O_DIRECTORY | O_NOFOLLOW })
    takeOver(native, rootFd)
    writer = new LayerWriter(native, rootFd, options)
    const result = await feed(writer, source, options)
    // One call for the whole file system: thousands of fsync would take many times as long.
    if (options.durable === true) native.syncfs(rootFd)
    return result
  } catch (error) {
    const failure = explain(error, options.layer, writer?.currentEntry)
    writer?.close()
    removeTree(native, AT_FDCWD, options.targetDir)
    throw failure
  } finally {
    writer?.close()
    if (rootFd >= 0) native.close(rootFd)
  }
}

async function feed(
  writer: LayerWriter,
  source: AsyncIterable<Buffer>,
  options: UnpackStreamOptions,
): Promise<UnpackResult> {
  const { layer, limits, check } = options
  const raw = new HashedSource(source)
  const compression = detectCompression(await raw.head())
  const parser = new TarParser(layer, writer, { maxTrailingBytes: limits.maxBytes })
  const diffHash = compression === 'none' ? undefined : createHash('sha256')
  for await (const chunk of decompress(raw.chunks(), compression, layer)) {
    check()
    diffHash?.update(chunk)
    parser.push(chunk)
  }
  check()
  const digest = raw.digest()
  const diffId = diffHash === undefined ? digest : `sha256:${diffHash.digest('hex')}`
  // Before the archive's own complaint: a download cut short is a matter of integrity.
  verify(`Layer ${layer}`, options.expectedDigest, digest)
  parser.end()
  verify(`The content of layer ${layer}`, options.expectedDiffId, diffId)
  writer.finish()
  return { digest, diffId, compressedBytes: raw.bytes, sizeBytes: writer.sizeBytes, entries: writer.entries }
}

function verify(what: string, expected: string | undefined, actual: string): void {
  if (expected !== undefined && expected !== actual) throw new IntegrityError(what, expected, actual)
}

/** Counts and hashes what goes through, and lets its first bytes be seen beforehand. */
class HashedSource {
  bytes = 0
  readonly #hash = createHash('sha256')
  readonly #iterator: AsyncIterator<Buffer>
  #head: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.#iterator = source[Symbol.asyncIterator]()
  }

  async head(): Promise<Buffer> {
    while (this.#head.length < 4) {
      const next = await this.#iterator.next()
      if (next.done === true) break
      // A chunk is good only until the next one is asked for.
      const isEnough = this.#head.length === 0 && next.value.length >= 4
      this.#head = isEnough ? next.value : Buffer.concat([this.#head, next.value])
    }
    return this.#head
  }

  async *chunks(): AsyncGenerator<Buffer> {
    try {
      for (let chunk = this.#head; chunk.length > 0; ) {
        this.bytes += chunk.length
        this.#hash.update(chunk)
        yield chunk
        const next = await this.#iterator.next()
        if (next.done === true) return
        chunk = next.value
      }
    } finally {
      await this.#iterator.return?.()
    }
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`
  }
}

function makeTarget(native: FsNative, targetDir: string): void {
  try {
    native.mkdirat(native.fsConstants.AT_FDCWD, targetDir, 0o700)
  } catch (error) {
    if (isNativeError(error, 'EEXIST')) throw new ConflictError(`The directory ${targetDir} exists already.`)
    throw explain(error, targetDir, undefined)
  }
}

/** Undoes what a set-group-id parent passes on, so that new files get the owner that is taken for granted. */
function takeOver(native: FsNative, rootFd: number): void {
  native.fchown(rootFd, process.geteuid?.() ?? 0, process.getegid?.() ?? 0)
  native.fchmod(rootFd, 0o700)
}

function explain(error: unknown, layer: string, entry: string | undefined): unknown {
  if (!isNativeError(error) || error instanceof LayerError || error instanceof SyscallError) return error
  const where = entry === undefined ? '' : `, entry ${JSON.stringify(entry)}`
  return new SyscallError(`Cannot unpack layer ${layer}${where}`, {
    code: error.code,
    errno: error.errno,
    syscall: error.syscall,
    ...(error.path === undefined ? {} : { path: error.path }),
    text: error.message.replace(/^\w+: /, '').replace(/, \w+( '.*')?$/s, ''),
    hint: hintFor(error.code, error.syscall),
    cause: error,
  })
}

function hintFor(code: string, syscall: string): string | undefined {
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'free space, or inodes, on the file system of the state directory'
  if (code === 'ENOTSUP' && syscall === 'fsetxattr') {
    return `put the state directory on a file system with user extended attributes (ext4, xfs, btrfs; tmpfs from Linux 6.6)`
  }
  if (code === 'EPERM' || code === 'EINVAL') {
    if (syscall.startsWith('fchown')) return `unpack as root or in a user namespace, or use ownerMap 'current-user'`
    if (syscall === 'mknodat')
      return `devices need root outside of a user namespace; ownerMap 'current-user' leaves them out`
  }
  return undefined
}
