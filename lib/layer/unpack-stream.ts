// SPDX-License-Identifier: MIT
import { ConflictError, IntegrityError, LayerError, SyscallError } from '../errors.ts'
import { type FsNative, isNativeError } from '../launcher/fs-native.ts'
import type { LayerSummary } from './decode-layer.ts'
import type { OwnerMap } from './entry-metadata.ts'
import { LayerWriter } from './layer-writer.ts'
import type { LayerLimits } from './limits.ts'
import { openOwnDirectory } from './own-directory.ts'
import { removeTree } from './remove-tree.ts'
import { TarParser } from './tar-parser.ts'

/** What an unpacked layer turned out to be. */
export interface UnpackResult extends LayerSummary {
  /** Sum of the sizes of the layer's files, holes included. */
  sizeBytes: number
  entries: number
}

/** A layer's archive, decompressed. */
export interface DecodedLayer {
  /** A chunk may be reused once the next one is asked for. Throws when the bytes are damaged, or the work is to stop. */
  chunks: Iterable<Buffer>
  /** Asked for after the last chunk. */
  summary: () => LayerSummary
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
}

/**
 * Unpacks one layer on the calling thread, which it blocks: a worker's work. A failed unpack leaves nothing behind.
 */
export function unpackStream(native: FsNative, source: DecodedLayer, options: UnpackStreamOptions): UnpackResult {
  const { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW } = native.fsConstants
  makeTarget(native, options.targetDir)
  let rootFd = -1
  let writer: LayerWriter | undefined
  try {
    rootFd = openOwnDirectory(native, AT_FDCWD, options.targetDir, { flags: O_DIRECTORY | O_NOFOLLOW })
    takeOver(native, rootFd)
    writer = new LayerWriter(native, rootFd, options)
    const result = feed(writer, source, options)
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

function feed(writer: LayerWriter, source: DecodedLayer, options: UnpackStreamOptions): UnpackResult {
  const { layer, limits } = options
  const parser = new TarParser(layer, writer, { maxTrailingBytes: limits.maxBytes })
  for (const chunk of source.chunks) parser.push(chunk)
  const summary = source.summary()
  // Before the archive's own complaint: a download cut short is a matter of integrity.
  verify(`Layer ${layer}`, options.expectedDigest, summary.digest)
  parser.end()
  verify(`The content of layer ${layer}`, options.expectedDiffId, summary.diffId)
  writer.finish()
  return { ...summary, sizeBytes: writer.sizeBytes, entries: writer.entries }
}

function verify(what: string, expected: string | undefined, actual: string): void {
  if (expected !== undefined && expected !== actual) throw new IntegrityError(what, expected, actual)
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
