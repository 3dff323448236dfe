import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LayerError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import { isErrno } from '../store/atomic.ts'
import { readBounded } from '../store/blob-store.ts'

/** One member of an image archive or file of a layout folder. */
export interface ArchiveFile {
  /** Where its bytes are, on this host. */
  readonly path: string
  readonly sizeBytes: number
  /** sha256 of the bytes, where reading the archive gave it. */
  readonly sha256: Digest | undefined
  /** Whether the file is ours, so that it may be moved away, and nobody else can change it. */
  readonly owned: boolean
}

/** The members of an image archive by name. Names come from outside: they are keys, and never become paths unchecked. */
export interface ArchiveFiles {
  /** What messages call it: the path the caller gave, or `stream`. */
  readonly label: string
  /** @param name - relative, with `/` between parts. @returns `undefined` where there is no such regular file. */
  find(name: string): Promise<ArchiveFile | undefined>
}

/** Reads a small member. @throws {LayerError} naming it, when absent or longer than `maxBytes`. */
export async function readMember(files: ArchiveFiles, name: string, maxBytes: number): Promise<Buffer> {
  const file = await findMember(files, name)
  return readBounded(file.path, maxBytes, `${files.label}, member ${name},`)
}

/** @throws {LayerError} naming the member, when absent. */
export async function findMember(files: ArchiveFiles, name: string): Promise<ArchiveFile> {
  const file = await files.find(name)
  if (file === undefined) throw new LayerError(files.label, name, 'is not in the archive, which may be cut short')
  return file
}

/**
 * Normalises a member's name: no leading `./`, no empty and no `.` parts.
 *
 * @throws {LayerError} on an absolute name, `..`, a NUL byte, or more than 4096 characters.
 */
export function memberName(label: string, name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  const fault = name.startsWith('/')
    ? 'has an absolute name'
    : parts.includes('..')
      ? `has '..' in its name`
      : name.includes('\0') || name.length > 4096
        ? 'has a name that is not allowed'
        : undefined
  if (fault !== undefined) throw new LayerError(label, name.slice(0, 200), fault)
  return parts.join('/')
}

/** The files of a folder, such as an OCI image layout. Symlinks are followed: the folder belongs to the caller. */
export class FolderFiles implements ArchiveFiles {
  readonly label: string
  readonly #dir: string

  constructor(dir: string) {
    this.label = dir
    this.#dir = dir
  }

  async find(name: string): Promise<ArchiveFile | undefined> {
    const path = join(this.#dir, memberName(this.label, name))
    try {
      const stats = await stat(path)
      return stats.isFile() ? { path, sizeBytes: stats.size, sha256: undefined, owned: false } : undefined
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }
}

/** The first bytes of a file, to tell formats apart. */
export async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
