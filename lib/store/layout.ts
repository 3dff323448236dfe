import { lstat, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { geteuid } from 'node:process'
import { WherryError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts'
import { isErrno, makeDirectories, makeDirectory, writeFileAtomic } from './atomic.ts'

/** What helps where a root cannot be used. */
export const kOwnRootHint = 'choose a directory of your own with Engine.open({ root })'

const kFormatVersion = 1

/** Where things are below a root. Paths only; nothing is touched. */
export class StoreLayout {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  get oci(): string {
    return join(this.root, 'oci')
  }
  get index(): string {
    return join(this.root, 'oci/index.json')
  }
  get layers(): string {
    return join(this.root, 'layers')
  }
  get containers(): string {
    return join(this.root, 'containers')
  }
  get networks(): string {
    return join(this.root, 'networks')
  }
  get volumes(): string {
    return join(this.root, 'volumes')
  }
  get locks(): string {
    return join(this.root, 'locks')
  }
  get sessions(): string {
    return join(this.root, 'sessions')
  }
  get tmp(): string {
    return join(this.root, 'tmp')
  }
  /** Marks of layers that may not be on the disk yet; the first unpacked layer makes it. */
  get unsynced(): string {
    return join(this.root, 'unsynced')
  }
  /** What templates are beside their images; the first one makes it. */
  get templates(): string {
    return join(this.root, 'templates')
  }
  /** Blobs that are being downloaded; the first download makes it. */
  get partial(): string {
    return join(this.root, 'partial')
  }
  /** What happened; the first event makes it. */
  get events(): string {
    return join(this.root, 'events')
  }
  get marker(): string {
    return join(this.root, 'store.json')
  }

  blob(digest: Digest): string {
    return join(this.root, 'oci/blobs', digestAlgorithm(digest), digestHex(digest))
  }
  layer(diffId: Digest): string {
    return join(this.root, 'layers', layerName(diffId))
  }
  lock(name: string): string {
    return join(this.root, 'locks', `${name}.lock`)
  }
}

/** Directory name of a layer: the hex part for sha256, with the algorithm before it for any other. */
export function layerName(diffId: Digest): string {
  return digestAlgorithm(diffId) === 'sha256' ? digestHex(diffId) : `${digestAlgorithm(diffId)}-${digestHex(diffId)}`
}

/**
 * Makes the directories of a new root; on one that exists it is two system calls.
 *
 * Layers, sessions and containers are closed to others (0700), since they hold setuid files of images; containers in a user
 * namespace reach them by file descriptor.
 *
 * @throws {WherryError} `ERR_STORE_OWNER` where another user owns the root or others may write to it, `ERR_STORE_VERSION` where
 *   a newer wherry made it.
 */
export async function prepareLayout(layout: StoreLayout, scratchName: string): Promise<void> {
  const version = await readVersion(layout)
  if (version !== undefined) {
    await checkOwner(layout.root)
    if (version > kFormatVersion) {
      const message = `The store ${layout.root} has format ${version}; this wherry reads up to ${kFormatVersion}.`
      throw new WherryError(message, { code: 'ERR_STORE_VERSION', hint: 'update wherry or open another root' })
    }
    return
  }
  await makeDirectories(dirname(layout.root))
  await makeDirectory(layout.root, 0o711)
  await checkOwner(layout.root)
  for (const [name, mode] of kDirectories) await makeDirectory(join(layout.root, name), mode)
  try {
    await writeFiles(layout, scratchName)
  } catch (error) {
    // Another process was first, and its repair took our scratch file for a dead session's: then everything is there.
    if (!isErrno(error, 'ENOENT') || (await readVersion(layout)) === undefined) throw error
  }
}

async function writeFiles(layout: StoreLayout, scratchName: string): Promise<void> {
  const scratch = join(layout.tmp, scratchName)
  await writeFileAtomic(`${scratch}.layout`, join(layout.oci, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n', 0o644)
  // The marker comes last: with it, everything else is there. index.json comes with the first image.
  const marker = `${JSON.stringify({ formatVersion: kFormatVersion })}\n`
  await writeFileAtomic(`${scratch}.marker`, layout.marker, marker, 0o644)
}

/** Directories of a root with their permission bits; `partial` comes with the first download. */
export const kDirectories: readonly (readonly [string, number])[] = [
  ['tmp', 0o700],
  ['oci', 0o755],
  ['oci/blobs', 0o755],
  ['oci/blobs/sha256', 0o755],
  ['layers', 0o700],
  ['containers', 0o700],
  ['networks', 0o700],
  ['volumes', 0o700],
  ['locks', 0o700],
  ['sessions', 0o700],
]

async function readVersion(layout: StoreLayout): Promise<number | undefined> {
  try {
    const marker: unknown = JSON.parse(await readFile(layout.marker, 'utf8'))
    const version = (marker as { formatVersion?: unknown } | null)?.formatVersion
    return typeof version === 'number' ? version : undefined
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR') || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function checkOwner(root: string): Promise<void> {
  const stats = await lstat(root)
  const fault = !stats.isDirectory()
    ? 'is not a directory'
    : stats.uid !== geteuid?.()
      ? `belongs to user ${stats.uid}`
      : (stats.mode & 0o022) !== 0
        ? 'is writable by others'
        : undefined
  if (fault === undefined) return
  throw new WherryError(`The store ${root} ${fault}.`, { code: 'ERR_STORE_OWNER', hint: kOwnRootHint })
}
