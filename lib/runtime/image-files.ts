// SPDX-License-Identifier: MIT
import { constants, read as readCallback } from 'node:fs'
import { promisify } from 'node:util'
import type { Native } from '../launcher/native.ts'
import { kMaxUserFileBytes, type UserFiles } from '../rootfs/users.ts'

const read = promisify(readCallback)
const kResolveInRoot = 0x10
const kResolveNoMagiclinks = 0x02
const kAtFdcwd = -100
const kTypeMask = 0o170000
const kRegular = 0o100000

/**
 * Reads the image's user and group files: from the topmost layer that has them, resolved inside that layer only.
 *
 * @param roots — directories, topmost first
 */
export async function readUserFiles(native: Native, roots: readonly string[]): Promise<UserFiles> {
  const [passwd, group] = await Promise.all(['etc/passwd', 'etc/group'].map((path) => readTopmost(native, roots, path)))
  return { passwd: passwd ?? null, group: group ?? null }
}

/** Changes when the host's user or group file does. Two quick system calls, where reading takes ten. */
export function userFilesVersion(native: Native): string {
  const versions = ['/etc/passwd', '/etc/group'].map((path) => {
    try {
      const { dev, ino, sizeBytes, mtime, ctime } = native.fstatat(kAtFdcwd, path)
      return [dev, ino, sizeBytes, ...mtime, ...ctime].join('.')
    } catch {
      return 'none'
    }
  })
  return `host:${versions.join(':')}`
}

async function readTopmost(native: Native, roots: readonly string[], path: string): Promise<Uint8Array | undefined> {
  for (const root of roots) {
    const found = await readInRoot(native, root, path)
    if (found === 'whiteout') return undefined
    if (found !== undefined) return found
  }
  return undefined
}

async function readInRoot(native: Native, root: string, path: string): Promise<Uint8Array | 'whiteout' | undefined> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const rootFd = native.openat2(kAtFdcwd, root, { flags: constants.O_RDONLY | constants.O_DIRECTORY, resolve: 0 })
  let fd: number
  try {
    fd = native.openat2(rootFd, path, { flags, resolve: kResolveInRoot | kResolveNoMagiclinks })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    // A whiteout is a device without driver: opening it says ENXIO.
    if (code === 'ENXIO') return 'whiteout'
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EXDEV'].includes(code)) return undefined
    throw error
  } finally {
    native.close(rootFd)
  }
  try {
    return (await readUserFile(native, fd)) ?? undefined
  } finally {
    native.close(fd)
  }
}

/** Reads an open user or group file. @returns `null` for what is no plain file */
export async function readUserFile(native: Native, fd: number): Promise<Uint8Array | null> {
  const { mode, sizeBytes } = native.fstatat(fd, '', 0x1000)
  if ((mode & kTypeMask) !== kRegular) return null
  return readUpTo(fd, Math.min(sizeBytes, kMaxUserFileBytes))
}

/** Reads up to `limit` bytes and one more, which tells that there are more. */
async function readUpTo(fd: number, limit: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(limit + 1)
  let size = 0
  while (size <= limit) {
    const { bytesRead } = await read(fd, buffer, size, buffer.length - size, null)
    if (bytesRead === 0) break
    size += bytesRead
  }
  return buffer.subarray(0, size)
}
