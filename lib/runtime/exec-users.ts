// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { isNativeError } from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import { type ResolvedUser, resolveUser, type UserFiles } from '../rootfs/users.ts'
import { readUserFile } from './image-files.ts'

const kAtFdcwd = -100
const kAtEmptyPath = 0x1000
const kTypeMask = 0o170000
const kRegular = 0o100000
const kResolve = { noXdev: 0x01, noMagiclinks: 0x02, inRoot: 0x10 } as const
/** procfs, sysfs, and what else the kernel answers from: reading there may wait, or have effects. */
const kKernelFileSystems = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x64626720, 0x74726163])
const kMaxKnown = 256
const kMaxAnswers = 64
/** A file that was changed so recently may change again without a new time stamp. */
const kSettledMs = 100

interface Known {
  version: string
  files: UserFiles
  /** Answers of these files, by question. */
  resolved: Map<string, ResolvedUser>
}

/** Who is who in running containers, as their files say now. These are read again only when they have changed. */
export class ExecUsers {
  readonly #native: Native
  readonly #known = new Map<string, Known>()

  constructor(native: Native) {
    this.#native = native
  }

  /**
   * Looks up a user and groups in the files of a container. Nothing of the container is trusted: links are resolved inside of it,
   * and what is no plain file is never opened for reading.
   *
   * @param container - its id, and the pid of a process in it
   * @throws {NativeError} ENOENT when the process has ended. @throws {NotFoundError} for an unknown name.
   */
  async resolve(
    container: { id: string; pid: number },
    user: string,
    groups: readonly string[],
  ): Promise<ResolvedUser> {
    const { files, resolved } = await this.#read(container)
    const key = JSON.stringify([user, groups])
    const known = resolved.get(key)
    if (known !== undefined) return known
    const answer = resolveUser(user, groups, files)
    if (resolved.size >= kMaxAnswers) resolved.clear()
    resolved.set(key, answer)
    return answer
  }

  async #read({ id, pid }: { id: string; pid: number }): Promise<Known> {
    const root = this.#native.openat2(kAtFdcwd, `/proc/${pid}/root`, { flags: this.#native.fsConstants.O_PATH })
    const opened: (number | undefined)[] = []
    try {
      for (const path of ['etc/passwd', 'etc/group']) opened.push(this.#open(root, path))
      const version = opened.map((fd) => this.#version(fd)).join(':')
      const known = this.#known.get(id)
      if (known?.version === version) return known
      const [passwd = null, group = null] = await Promise.all(opened.map((fd) => this.#content(fd)))
      const read = { version, files: { passwd, group }, resolved: new Map() }
      this.#keep(id, read, opened)
      return read
    } finally {
      for (const fd of [root, ...opened]) if (fd !== undefined) this.#native.close(fd)
    }
  }

  #keep(id: string, known: Known, opened: readonly (number | undefined)[]): void {
    const now = Date.now()
    const isSettled = opened.every((fd) => {
      if (fd === undefined) return true
      const [seconds, nanoseconds] = this.#native.fstatat(fd, '', kAtEmptyPath).ctime
      return now - (seconds * 1000 + nanoseconds / 1e6) > kSettledMs
    })
    this.#known.delete(id)
    if (this.#known.size >= kMaxKnown) this.#known.clear()
    if (isSettled) this.#known.set(id, known)
  }

  /** @returns a descriptor that can only be asked what it is; `undefined` where there is no such file */
  #open(root: number, path: string): number | undefined {
    const flags = this.#native.fsConstants.O_PATH
    const resolve = kResolve.inRoot | kResolve.noMagiclinks
    try {
      try {
        return this.#native.openat2(root, path, { flags, resolve: resolve | kResolve.noXdev })
      } catch (error) {
        // Somebody has mounted it. Only then are other file systems looked at.
        if (!isNativeError(error, 'EXDEV')) throw error
        return this.#native.openat2(root, path, { flags, resolve })
      }
    } catch (error) {
      if (isNativeError(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EXDEV', 'EAGAIN')) return undefined
      throw error
    }
  }

  #version(fd: number | undefined): string {
    if (fd === undefined) return 'none'
    const { dev, ino, sizeBytes, mtime, ctime } = this.#native.fstatat(fd, '', kAtEmptyPath)
    return [dev, ino, sizeBytes, ...mtime, ...ctime].join('.')
  }

  async #content(fd: number | undefined): Promise<Uint8Array | null> {
    if (fd === undefined) return null
    const { mode } = this.#native.fstatat(fd, '', kAtEmptyPath)
    if ((mode & kTypeMask) !== kRegular || kKernelFileSystems.has(this.#native.fstatfsType(fd))) return null
    let readable: number
    try {
      // Not blocking: the container may hold a lease on it (fcntl(2), F_SETLEASE).
      const flags = constants.O_RDONLY | constants.O_NONBLOCK
      readable = this.#native.openat2(kAtFdcwd, `/proc/self/fd/${fd}`, { flags })
    } catch (error) {
      if (isNativeError(error, 'EACCES', 'EAGAIN')) return null
      throw error
    }
    try {
      return await readUserFile(this.#native, readable)
    } finally {
      this.#native.close(readable)
    }
  }
}
