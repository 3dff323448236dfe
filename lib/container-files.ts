// SPDX-License-Identifier: MIT
import { posix, resolve } from 'node:path'
import { Readable } from 'node:stream'
import type { MessageChannel } from 'node:worker_threads'
import type { CopyOutcome } from './container-files/copy-operations.ts'
import type {
  ContainerDirectoryEntry,
  ContainerFileStatus,
  ContainerFileType,
  FileJob,
  OwnerAndMode,
} from './container-files/file-jobs.ts'
import { openFileServer } from './container-files/file-server.ts'
import { portStream } from './container-files/port-stream.ts'
import type { Engine } from './engine.ts'
import { InvalidOptionError } from './errors.ts'
import { kDefaultLayerLimits } from './layer/limits.ts'
import { Forwarder } from './layer/stream-forwarder.ts'
import { checkBoolean, checkBytes, checkNumber, checkObject, checkString } from './options/checks.ts'
import type { ByteQuantity } from './options/container-options.ts'

export type { ContainerDirectoryEntry, ContainerFileStatus, ContainerFileType, CopyOutcome }

/** Options of everything that can be ended. */
export interface ContainerFileOptions {
  /** Aborting ends the work and rejects with `signal.reason`; what was written until then stays. */
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.copyIn} and {@link Container.writeFile}. */
export interface ContainerWriteOptions extends ContainerFileOptions {
  /**
   * Permission bits of files. @default those of the source; `0o644` for bytes, and files that are there keep theirs
   */
  mode?: number | undefined
  /** Owner, as the container counts. @default 0; for a tar stream what it says */
  uid?: number | undefined
  /** @default 0; for a tar stream what it says */
  gid?: number | undefined
}

/** Options of {@link Container.copyIn}. */
export interface ContainerCopyInOptions extends ContainerWriteOptions {
  /** Whether files and folders of the host keep the numbers of their owners, where `uid` and `gid` say nothing. @default false */
  preserveOwner?: boolean | undefined
}

/** Options of {@link Container.copyOut}. */
export interface ContainerCopyOutOptions extends ContainerFileOptions {
  /** Whether what is copied to the host keeps the numbers that its owners have in the container. Needs root. @default false */
  preserveOwner?: boolean | undefined
}

/** Options of {@link Container.readFile}. */
export interface ContainerReadOptions extends ContainerFileOptions {
  /** @default none: bytes */
  encoding?: BufferEncoding | undefined
  /** A larger file is an error. @default '64m' */
  maxBytes?: ByteQuantity | undefined
}

/** Options of {@link Container.stat}. */
export interface ContainerStatOptions extends ContainerFileOptions {
  /** Whether the last name is followed where it is a link; those before always are. @default true */
  followSymlinks?: boolean | undefined
}

/** Options of {@link Container.rm}. */
export interface ContainerRmOptions extends ContainerFileOptions {
  /** Also directories with all that is in them. @default false */
  recursive?: boolean | undefined
  /** What is not there is no error. @default false */
  force?: boolean | undefined
}

/** Options of {@link Container.mkdir}. */
export interface ContainerMkdirOptions extends ContainerFileOptions {
  /** Also what is missing above it; one that is there is no error. @default false */
  recursive?: boolean | undefined
  /** Permission bits. @default 0o755 */
  mode?: number | undefined
}

const kDefaultMaxBytes = 64 * 1024 ** 2
const kMostBytes = 2 * 1024 ** 3
const kMaxId = 0xfffffffe
const kAllBits = 0o7777
const kWindowBytes = 4 * 1024 ** 2

/** Runs one job on the files of a container. */
async function runJob(
  engine: Engine,
  id: string,
  job: FileJob,
  { write, signal }: { write: boolean; signal: AbortSignal | undefined },
): Promise<unknown> {
  signal?.throwIfAborted()
  const runtime = await engine.runtime()
  const server = await openFileServer({ containers: engine.containers, runtime }, id, { write, signal })
  const stop = (): void => server.kill()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await runtime.fileThreads.run(server.socket, job, signal)
  } finally {
    signal?.removeEventListener('abort', stop)
    await server.close()
  }
}

/** @see Container.stat */
export async function statIn(
  engine: Engine,
  id: string,
  path: string,
  options: ContainerStatOptions = {},
): Promise<ContainerFileStatus> {
  const { signal, followSymlinks } = checked(options, ['signal', 'followSymlinks'])
  const follow = checkBoolean('followSymlinks', followSymlinks, true)
  const job = { kind: 'stat', path: insidePath('path', path), followSymlinks: follow } as const
  return (await runJob(engine, id, job, { write: false, signal })) as ContainerFileStatus
}

/** @see Container.exists */
export async function existsIn(
  engine: Engine,
  id: string,
  path: string,
  options: ContainerFileOptions = {},
): Promise<boolean> {
  try {
    await statIn(engine, id, path, options)
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** @see Container.readdir */
export async function readdirIn(
  engine: Engine,
  id: string,
  path: string,
  options: ContainerFileOptions = {},
): Promise<ContainerDirectoryEntry[]> {
  const { signal } = checked(options, ['signal'])
  const job = { kind: 'readdir', path: insidePath('path', path) } as const
  return (await runJob(engine, id, job, { write: false, signal })) as ContainerDirectoryEntry[]
}

/** @see Container.readFile */
export async function readFileIn(
  engine: Engine,
  id: string,
  path: string,
  options: ContainerReadOptions = {},
): Promise<string | Buffer> {
  const { signal, encoding, maxBytes } = checked(options, ['signal', 'encoding', 'maxBytes'])
  if (encoding !== undefined && !Buffer.isEncoding(encoding))
    throw new InvalidOptionError('encoding', 'an encoding of Buffer', encoding)
  const most = Math.min(checkBytes('maxBytes', maxBytes) ?? kDefaultMaxBytes, kMostBytes)
  const job = { kind: 'read', path: insidePath('path', path), maxBytes: most } as const
  const { buffer, byteOffset, byteLength } = (await runJob(engine, id, job, { write: false, signal })) as Uint8Array
  const bytes = Buffer.from(buffer, byteOffset, byteLength)
  return encoding === undefined ? bytes : bytes.toString(encoding)
}

/** @see Container.writeFile */
export async function writeFileIn(
  engine: Engine,
  id: string,
  path: string,
  data: string | Uint8Array,
  options: ContainerWriteOptions = {},
): Promise<void> {
  const { signal, ...owner } = checkWriteOptions(options)
  if (typeof data !== 'string' && !(data instanceof Uint8Array))
    throw new InvalidOptionError('data', 'a string or bytes', data)
  // A copy, so that no more than these bytes goes to the thread, and nobody changes them on the way.
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data)
  await runJob(engine, id, { kind: 'write', path: insidePath('path', path), bytes, owner }, { write: true, signal })
}

/** @see Container.rm */
export async function rmIn(engine: Engine, id: string, path: string, options: ContainerRmOptions = {}): Promise<void> {
  const { signal, recursive, force } = checked(options, ['signal', 'recursive', 'force'])
  const job = {
    kind: 'remove',
    path: insidePath('path', path),
    recursive: checkBoolean('recursive', recursive, false),
    force: checkBoolean('force', force, false),
  } as const
  await runJob(engine, id, job, { write: true, signal })
}

/** @see Container.mkdir */
export async function mkdirIn(
  engine: Engine,
  id: string,
  path: string,
  options: ContainerMkdirOptions = {},
): Promise<void> {
  const { signal, recursive, mode } = checked(options, ['signal', 'recursive', 'mode'])
  const job = {
    kind: 'mkdir',
    path: insidePath('path', path),
    recursive: checkBoolean('recursive', recursive, false),
    mode: checkNumber('mode', mode, { min: 0, max: kAllBits, integer: true }) ?? 0o755,
  } as const
  await runJob(engine, id, job, { write: true, signal })
}

/** @see Container.copyIn */
export async function copyInto(
  engine: Engine,
  id: string,
  source: string | Readable | Uint8Array,
  target: string,
  options: ContainerCopyInOptions = {},
): Promise<void> {
  const { preserveOwner: preserve, ...rest } = options
  const preserveOwner = checkBoolean('preserveOwner', preserve, false)
  if (source instanceof Uint8Array) return await writeFileIn(engine, id, target, source, rest)
  const { signal, ...owner } = checkWriteOptions(rest)
  const inside = insidePath('target', target)
  const common = { target: inside, owner, limits: { ...kDefaultLayerLimits } }
  if (typeof source === 'string') {
    const job = { kind: 'copyIn', source: hostPath('source', source), preserveOwner, ...common } as const
    await runJob(engine, id, job, { write: true, signal })
    return
  }
  if (!(source instanceof Readable))
    throw new InvalidOptionError('source', 'a path, a Readable stream of a tar archive, or bytes', source)
  await extractStream(engine, id, source, common, signal)
}

async function extractStream(
  engine: Engine,
  id: string,
  source: Readable,
  common: Omit<Extract<FileJob, { kind: 'extract' }>, 'kind' | 'port'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const forwarder = new Forwarder(source)
  const stop = new AbortController()
  const abort = (): void => stop.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted === true) abort()
  forwarder.start(() => stop.abort(forwarder.failure))
  try {
    await runJob(engine, id, { kind: 'extract', port: forwarder.port, ...common }, { write: true, signal: stop.signal })
  } finally {
    signal?.removeEventListener('abort', abort)
    forwarder.close()
  }
}

/** @see Container.copyOut */
export async function copyFrom(
  engine: Engine,
  id: string,
  source: string,
  target: string | undefined,
  options: ContainerCopyOutOptions = {},
): Promise<CopyOutcome | Readable> {
  const { signal, preserveOwner: preserve } = checked(options, ['signal', 'preserveOwner'])
  const preserveOwner = checkBoolean('preserveOwner', preserve, false)
  const path = insidePath('source', source)
  const limits = { ...kDefaultLayerLimits }
  if (target === undefined) {
    // What is not there is said at once, and not by the stream.
    await statIn(engine, id, path, { signal, followSymlinks: false })
    return archiveStream(
      engine,
      id,
      (port) => ({ kind: 'archive', path, port, windowBytes: kWindowBytes, limits }),
      signal,
    )
  }
  const job = { kind: 'copyOut', path, target: hostPath('target', target), preserveOwner, limits } as const
  return (await runJob(engine, id, job, { write: false, signal })) as CopyOutcome
}

/** @see Container.export */
export function exportFrom(engine: Engine, id: string, options: ContainerFileOptions = {}): Readable {
  const { signal } = checked(options, ['signal'])
  const limits = { ...kDefaultLayerLimits }
  return archiveStream(engine, id, (port) => ({ kind: 'export', port, windowBytes: kWindowBytes, limits }), signal)
}

/** Nothing is held before the stream is read. */
function archiveStream(
  engine: Engine,
  id: string,
  makeJob: (port: MessageChannel['port2']) => FileJob,
  signal: AbortSignal | undefined,
): Readable {
  return portStream((port, stop) => runJob(engine, id, makeJob(port), { write: false, signal: stop }), signal)
}

function checked<T extends object>(options: T, names: readonly (keyof T & string)[]): T {
  checkObject('', options, names)
  return options
}

function checkWriteOptions(options: ContainerWriteOptions): OwnerAndMode & { signal: AbortSignal | undefined } {
  const { signal, mode, uid, gid } = checked(options, ['signal', 'mode', 'uid', 'gid'])
  const id = (name: string, value: number | undefined): number | undefined =>
    checkNumber(name, value, { min: 0, max: kMaxId, integer: true }) ?? undefined
  return {
    signal,
    mode: checkNumber('mode', mode, { min: 0, max: kAllBits, integer: true }) ?? undefined,
    uid: id('uid', uid),
    gid: id('gid', gid),
  }
}

/** A path in the container, absolute. A slash or a dot at its end means something, and stays. */
function insidePath(option: string, value: unknown): string {
  const path = checkPath(option, value)
  const end = /\/\.?$/.exec(path)?.[0] ?? ''
  const clean = posix.normalize(`/${path}`)
  return end === '' || clean === '/' ? clean : `${clean.replace(/\/$/, '')}${end}`
}

function hostPath(option: string, value: unknown): string {
  const path = checkPath(option, value)
  const end = /\/\.?$/.exec(path)?.[0] ?? ''
  const clean = resolve(path)
  return end === '' || clean === '/' ? clean : `${clean}${end}`
}

function checkPath(option: string, value: unknown): string {
  const path = checkString(option, value)
  if (path !== '' && !path.includes('\0')) return path
  throw new InvalidOptionError(option, 'a path', value)
}
