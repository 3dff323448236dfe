// SPDX-License-Identifier: MIT
import { isNativeError } from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import type { LayerLimits } from '../layer/limits.ts'
import { kPackChunkBytes, TreePacker } from '../layer/pack-tree.ts'
import { TarParser } from '../layer/tar-parser.ts'
import type { FileJob, OwnerAndMode } from './file-jobs.ts'
import { openRegular, refusal, typeOf, withFd, writeAll, writeThrough } from './file-operations.ts'
import { type CopyTarget, type Placement, placeCopy, splitSource } from './placement.ts'
import type { RemoteFs } from './remote-fs.ts'
import { TreeWriter } from './tree-writer.ts'
import { ContainerPlace, HostPlace } from './writer-place.ts'

type Job<K extends FileJob['kind']> = Extract<FileJob, { kind: K }>

/** What {@link Container.copyOut} has left out. */
export interface CopyOutcome {
  /** Devices, FIFOs and sockets: the host gets none of a container's. */
  readonly skipped: number
}

const kFollow = 0
const kRootOwner = { uid: 0, gid: 0 } as const

/** Copies a file or directory of the host into a container. */
export function copyIn(native: Native, fs: RemoteFs, job: Job<'copyIn'>): void {
  const { source, target, owner, preserveOwner } = job
  const { directory, name, contentsOnly, follow } = splitSource(source)
  const { AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_RDONLY, O_NONBLOCK } = native.fsConstants
  const { mode, uid, gid } = native.fstatat(AT_FDCWD, source, follow ? kFollow : AT_SYMLINK_NOFOLLOW)
  const type = typeOf(mode)
  const there = targetIn(fs, target)
  const placed = placement(type, { name, contentsOnly }, there)
  if (type === 'file' && there.kind !== 'directory') {
    const from = native.openat2(AT_FDCWD, source, { flags: O_RDONLY | O_NONBLOCK })
    const bits = owner.mode ?? mode & 0o7777
    withFd(native, from, () =>
      writeThrough(
        fs,
        target,
        { ...(preserveOwner ? { uid, gid } : kRootOwner), ...definedOf(owner), mode: bits },
        (to) => copyBytes(native, from, to),
      ),
    )
    return
  }
  const isDirectory = type === 'directory'
  const root = native.openat2(AT_FDCWD, isDirectory ? source : directory, { flags: O_DIRECTORY })
  withFd(native, root, () => {
    const packer = newPacker(native, job.limits, source, true)
    const chunks = packed(packer, root, isDirectory ? '.' : name, placed.name)
    writeTree(fs, new ContainerPlace(fs, byteString(placed.directory)), chunks, {
      archive: source,
      limits: job.limits,
      owner: { ...(preserveOwner ? {} : kRootOwner), ...definedOf(owner) },
      toHost: false,
      ownsRoot: false,
    })
  })
}

/** Copies a file or directory of a container to the host. */
export function copyOut(native: Native, fs: RemoteFs, job: Job<'copyOut'>): CopyOutcome {
  const { path, target, preserveOwner } = job
  const { directory, name, contentsOnly, follow } = splitSource(path)
  const { AT_FDCWD, O_DIRECTORY, O_PATH, O_NOFOLLOW, O_RDONLY } = native.fsConstants
  const { mode, uid, gid } = withFd(fs, fs.openInRoot(path, O_PATH | (follow ? 0 : O_NOFOLLOW)), (fd) => fs.fstat(fd))
  const type = typeOf(mode)
  if (!['file', 'directory', 'symlink'].includes(type)) {
    throw refusal('EINVAL', 'open', path, `it is a ${type}`, 'files, directories and links can be copied')
  }
  const there = targetOnHost(native, target)
  const placed = placement(type, { name, contentsOnly }, there)
  if (type === 'file' && there.kind !== 'directory') {
    withFd(fs, openRegular(fs, path, O_RDONLY | O_NOFOLLOW), (from) =>
      writeOnHost(native, from, target, { mode: mode & 0o777, owner: preserveOwner ? { uid, gid } : undefined }),
    )
    return { skipped: 0 }
  }
  const isDirectory = type === 'directory'
  const root = fs.openInRoot(isDirectory ? path : directory, isDirectory ? O_DIRECTORY : O_PATH | O_DIRECTORY)
  return withFd(fs, root, () => {
    const packer = newPacker(fs, job.limits, path, true)
    const chunks = packed(packer, root, isDirectory ? '.' : name, placed.name)
    const host = native.openat2(AT_FDCWD, placed.directory, { flags: O_DIRECTORY })
    return withFd(native, host, () => {
      const { limits } = job
      const options = { archive: path, limits, owner: {}, toHost: true, keepsOwners: preserveOwner, ownsRoot: false }
      const skipped = writeTree(native, new HostPlace(native, host), chunks, options)
      return { skipped: skipped + packer.summary.skipped }
    })
  })
}

/** The archive of one thing of a container, under its last name; of what is in a directory, for `/` and paths that end in `/.`. */
export function archiveChunks(
  fs: RemoteFs,
  { path, limits }: Pick<Job<'archive'>, 'path' | 'limits'>,
  nextBuffer: () => Buffer,
): Iterable<Buffer> {
  const { directory, name, contentsOnly, follow } = splitSource(path)
  const { O_DIRECTORY, O_PATH, O_NOFOLLOW } = fs.fsConstants
  const { mode } = withFd(fs, fs.openInRoot(path, O_PATH | (follow ? 0 : O_NOFOLLOW)), (fd) => fs.fstat(fd))
  const isDirectory = typeOf(mode) === 'directory'
  if (typeOf(mode) === 'socket') throw refusal('EINVAL', 'open', path, 'it is a socket, which archives cannot hold')
  const root = fs.openInRoot(isDirectory ? path : directory, isDirectory ? O_DIRECTORY : O_PATH | O_DIRECTORY)
  const packer = newPacker(fs, limits, path, true, nextBuffer)
  return closing(fs, root, packed(packer, root, isDirectory ? '.' : name, contentsOnly ? undefined : name))
}

/** The archive of a container's root file system, without what is mounted in it. */
export function exportChunks(fs: RemoteFs, limits: LayerLimits, nextBuffer: () => Buffer): Iterable<Buffer> {
  const root = fs.openInRoot('/', fs.fsConstants.O_DIRECTORY)
  return closing(fs, root, newPacker(fs, limits, 'the root file system', false, nextBuffer).chunks(root))
}

/** Copies what is in a directory into an empty one, which becomes like it. Where there is no such directory, nothing happens. */
export function fillDirectory(fs: RemoteFs, { source, target, limits }: Job<'fill'>): void {
  let root: number
  try {
    root = fs.openInRoot(source, fs.fsConstants.O_DIRECTORY)
  } catch (error) {
    if (isNativeError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return
    throw error
  }
  withFd(fs, root, () => {
    const chunks = newPacker(fs, limits, source, true).chunks(root)
    const options = { archive: source, limits, owner: {}, toHost: false, ownsRoot: true, noDevices: true }
    writeTree(fs, new ContainerPlace(fs, byteString(target)), chunks, options)
  })
}

/** Writes an archive, piece by piece, into a directory of a container. */
export class Extraction {
  readonly #writer: TreeWriter
  readonly #parser: TarParser

  constructor(fs: RemoteFs, { target, owner, limits }: Pick<Job<'extract'>, 'target' | 'owner' | 'limits'>) {
    if (targetIn(fs, target).kind !== 'directory') {
      throw refusal('ENOTDIR', 'open', target, 'an archive needs a directory that is there', 'make it with mkdir()')
    }
    const options = { archive: 'the archive', limits, ...owner, toHost: false, ownsRoot: false }
    this.#writer = new TreeWriter(fs, new ContainerPlace(fs, byteString(target)), options)
    this.#parser = new TarParser('the archive', this.#writer, { maxTrailingBytes: limits.maxBytes })
  }

  get currentEntry(): string | undefined {
    return this.#writer.currentEntry
  }

  push(chunk: Buffer): void {
    this.#parser.push(chunk)
  }

  end(): void {
    this.#parser.end()
    this.#writer.finish()
  }

  close(): void {
    this.#writer.close()
  }
}

interface WriteOptions {
  archive: string
  limits: LayerLimits
  owner: OwnerAndMode
  toHost: boolean
  keepsOwners?: boolean
  ownsRoot: boolean
  noDevices?: boolean
}

/** @returns how many members were left out. */
function writeTree(
  fs: Native | RemoteFs,
  place: ContainerPlace | HostPlace,
  chunks: Iterable<Buffer>,
  { owner, ...options }: WriteOptions,
): number {
  const writer = new TreeWriter(fs, place, { ...options, ...owner })
  try {
    const parser = new TarParser(options.archive, writer)
    for (const chunk of chunks) parser.push(chunk)
    parser.end()
    writer.finish()
    return writer.skipped
  } finally {
    writer.close()
  }
}

function newPacker(
  fs: Native | RemoteFs,
  limits: LayerLimits,
  layer: string,
  crossMounts: boolean,
  nextBuffer?: () => Buffer,
): TreePacker {
  // Whoever takes a chunk is done with it when the next one is made, unless it says otherwise.
  const own = nextBuffer === undefined ? Buffer.allocUnsafeSlow(kPackChunkBytes) : undefined
  const options = { layer, limits, whiteouts: false, crossMounts, idMap: undefined, clampSeconds: undefined }
  return new TreePacker(fs, options, nextBuffer ?? (() => own as Buffer))
}

function packed(packer: TreePacker, root: number, name: string, as: string | undefined): Generator<Buffer> {
  return as === undefined ? packer.chunks(root) : packer.member(root, Buffer.from(name), byteString(as))
}

function* closing(fs: RemoteFs, fd: number, chunks: Iterable<Buffer>): Generator<Buffer> {
  try {
    yield* chunks
  } finally {
    fs.close(fd)
  }
}

function placement(type: string, source: { name: string; contentsOnly: boolean }, target: CopyTarget): Placement {
  const placed = placeCopy({ ...source, kind: type === 'directory' ? 'directory' : 'file' }, target)
  if ('code' in placed) throw refusal(placed.code, 'open', target.path, placed.why)
  return placed
}

function targetIn(fs: RemoteFs, path: string): CopyTarget {
  const plain = withoutSlash(path)
  return {
    path,
    kind: kindOf(() => withFd(fs, fs.openInRoot(plain, fs.fsConstants.O_PATH), (fd) => fs.fstat(fd).mode)),
  }
}

function targetOnHost(native: Native, path: string): CopyTarget {
  return { path, kind: kindOf(() => native.fstatat(native.fsConstants.AT_FDCWD, withoutSlash(path), kFollow).mode) }
}

/** A slash at the end of a file's path would hide that it is there. */
function withoutSlash(path: string): string {
  return path.replace(/\/+\.?$/, '') || '/'
}

function kindOf(modeOf: () => number): 'file' | 'directory' | undefined {
  try {
    return typeOf(modeOf()) === 'directory' ? 'directory' : 'file'
  } catch (error) {
    if (isNativeError(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

function writeOnHost(
  native: Native,
  from: number,
  target: string,
  { mode, owner }: { mode: number; owner: { uid: number; gid: number } | undefined },
): void {
  const { AT_FDCWD, O_WRONLY, O_CREAT, O_TRUNC } = native.fsConstants
  const to = native.openat2(AT_FDCWD, target, { flags: O_WRONLY | O_CREAT | O_TRUNC, mode })
  withFd(native, to, () => {
    if (owner !== undefined) native.fchown(to, owner.uid, owner.gid)
    copyBytes(native, from, to)
  })
}

function copyBytes(native: Native, from: number, to: number): void {
  const room = Buffer.allocUnsafeSlow(kPackChunkBytes)
  for (;;) {
    const bytes = native.read(from, room, 0, room.length)
    writeAll(native, to, room, bytes)
    if (bytes < room.length) return
  }
}

function definedOf(owner: OwnerAndMode): OwnerAndMode {
  return Object.fromEntries(Object.entries(owner).filter(([, value]) => value !== undefined))
}

function byteString(path: string): string {
  return Buffer.from(path).toString('latin1')
}
