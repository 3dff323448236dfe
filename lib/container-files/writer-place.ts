// SPDX-License-Identifier: MIT
import { type FsNative, isNativeError } from '../launcher/fs-native.ts'
import { type ByteString, toNativePath } from '../layer/byte-string.ts'
import type { RemoteFs } from './remote-fs.ts'

/** Where an archive is written to. */
export interface WriterPlace {
  /** A directory below the target, which is made where it is missing. The descriptor is good until the next call. */
  directory(parts: readonly ByteString[]): number
  close(): void
}

const kMadeMode = 0o755

/**
 * A directory of a container. Links in the way are followed as the container's own programs would: below the container's root,
 * wherever they lead.
 */
export class ContainerPlace implements WriterPlace {
  readonly #fs: RemoteFs
  readonly #base: ByteString
  #path: ByteString | undefined
  #fd = -1

  /** @param base absolute, in the container */
  constructor(fs: RemoteFs, base: ByteString) {
    this.#fs = fs
    this.#base = base
  }

  directory(parts: readonly ByteString[]): number {
    const path = [this.#base, ...parts].join('/')
    if (path === this.#path && this.#fd >= 0) return this.#fd
    this.close()
    this.#fd = this.#open(parts)
    this.#path = path
    return this.#fd
  }

  close(): void {
    if (this.#fd >= 0) this.#fs.close(this.#fd)
    this.#fd = -1
  }

  #open(parts: readonly ByteString[]): number {
    const { O_PATH, O_DIRECTORY } = this.#fs.fsConstants
    try {
      return this.#fs.openInRoot(toNativePath([this.#base, ...parts].join('/')), O_PATH | O_DIRECTORY)
    } catch (error) {
      if (!isNativeError(error, 'ENOENT') || parts.length === 0) throw error
    }
    const parent = this.#open(parts.slice(0, -1))
    try {
      this.#fs.mkdirat(parent, toNativePath(parts.at(-1) ?? ''), kMadeMode)
    } catch (error) {
      if (!isNativeError(error, 'EEXIST')) throw error
    } finally {
      this.#fs.close(parent)
    }
    return this.#fs.openInRoot(toNativePath([this.#base, ...parts].join('/')), O_PATH | O_DIRECTORY)
  }
}

/** A directory of the host. Below it no link is followed: a container may have made them. */
export class HostPlace implements WriterPlace {
  readonly #native: FsNative
  readonly #root: number
  #fd = -1
  #path: ByteString | undefined

  /** @param root stays the caller's to close. */
  constructor(native: FsNative, root: number) {
    this.#native = native
    this.#root = root
  }

  directory(parts: readonly ByteString[]): number {
    const { O_PATH, O_DIRECTORY, O_NOFOLLOW } = this.#native.fsConstants
    if (parts.length === 0) return this.#root
    const path = parts.join('/')
    if (path === this.#path && this.#fd >= 0) return this.#fd
    let at = this.#root
    let own = -1
    for (const part of parts) {
      const name = toNativePath(part)
      let next: number
      try {
        try {
          this.#native.mkdirat(at, name, kMadeMode)
        } catch (error) {
          if (!isNativeError(error, 'EEXIST')) throw error
        }
        next = this.#native.openat2(at, name, { flags: O_PATH | O_DIRECTORY | O_NOFOLLOW })
      } finally {
        if (own >= 0) this.#native.close(own)
      }
      at = own = next
    }
    this.close()
    this.#fd = own
    this.#path = path
    return at
  }

  close(): void {
    if (this.#fd >= 0) this.#native.close(this.#fd)
    this.#fd = -1
  }
}
