// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import type { Launcher } from '../launcher/launcher.ts'
import type { Native } from '../launcher/native.ts'
import type { NativeDescriptor } from '../launcher/process-native.ts'
import type { IdMap, IdRange } from '../oci/build-spec.ts'
import { kMountAttr } from '../plan/mount-words.ts'
import { step } from '../plan/ops.ts'

const kCloneNewUser = 0x10000000
const kOpenTreeClone = 1
const kAtRecursive = 0x8000
const kAtEmptyPath = 0x1000
const kAtFdcwd = -100

/** What a cloned mount is like. */
export interface CloneOptions {
  readonly idMapped: boolean
  /** With the mounts below it. @default false */
  readonly recursive?: boolean
  /** Attributes to set. */
  readonly attr?: number
  readonly propagation?: number
}

/** Makes detached mounts, id-mapped for a user namespace that exists only to hold the map. */
export class IdMappedMounts {
  readonly #native: Native
  readonly #namespace: NativeDescriptor | undefined

  private constructor(native: Native, namespace: NativeDescriptor | undefined) {
    this.#native = native
    this.#namespace = namespace
  }

  /** @param map — `null`: mounts show ids as they are. */
  static async create(native: Native, launcher: Launcher, map: IdMap | null): Promise<IdMappedMounts> {
    return new IdMappedMounts(
      native,
      map === null ? undefined : new native.Descriptor(await openNamespace(native, launcher, map)),
    )
  }

  /**
   * Clones the mount at `path`, held by nothing but the descriptor that is returned; the caller closes it.
   *
   * @throws {Error} Node-shaped: EINVAL when the file system takes no id map, EPERM without privilege.
   */
  clone(path: string, options: CloneOptions): number {
    return this.cloneAt(kAtFdcwd, path, options)
  }

  /** The same for a path below a directory; an empty one is what `dirfd` stands for itself. */
  cloneAt(dirfd: number, path: string, options: CloneOptions): number {
    const recursive = options.recursive === true ? kAtRecursive : 0
    const fd = this.#native.openTree(dirfd, path, kOpenTreeClone | recursive | (path === '' ? kAtEmptyPath : 0))
    const idMap = options.idMapped && this.#namespace !== undefined
    const set = (options.attr ?? 0) | (idMap ? kMountAttr.idmap : 0)
    const propagation = options.propagation ?? 0
    if (set === 0 && propagation === 0) return fd
    try {
      const namespace = idMap ? (this.#namespace?.fd ?? 0) : 0
      this.#native.mountSetattr(fd, kAtEmptyPath | recursive, set, 0, propagation, namespace)
      return fd
    } catch (error) {
      this.#native.close(fd)
      throw error
    }
  }

  close(): void {
    this.#namespace?.close()
  }
}

async function openNamespace(native: Native, launcher: Launcher, map: IdMap): Promise<number> {
  const ranges = 'uids' in map ? map : { uids: map, gids: map }
  const text = (list: readonly IdRange[]): string =>
    list.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join('')
  const child = launcher.clone(
    [
      step(
        'clone',
        'create a user namespace for id-mapped mounts',
        [kCloneNewUser, -1],
        [text(ranges.uids), text(ranges.gids), ''],
      ),
      step('await', 'hold the user namespace'),
    ],
    [],
  )
  await child.prepared
  try {
    // Not by node:fs: Node closes the numbers that it has opened in a worker thread when that ends, whoever has them by then.
    return native.openat2(kAtFdcwd, `/proc/${child.pid}/ns/user`, { flags: constants.O_RDONLY })
  } finally {
    child.release()
  }
}
