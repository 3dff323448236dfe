// SPDX-License-Identifier: MIT
import type { IdMap, IdRange } from '../oci/build-spec.ts'
import type { ByteString } from './byte-string.ts'

const kCapabilityXattr = 'security.capability'
const kAclPrefix = 'system.posix_acl_'
const kCapabilityRevision3 = 0x03000000
const kCapabilityRevision2 = 0x02000000
const kCapabilityRevisionMask = 0xff000000
const kCapability2Bytes = 20
const kCapability3Bytes = 24
const kAclUser = 2
const kAclGroup = 8

/** Ids as the host sees them, turned into those of the container: the way back through an id map. */
export class IdsBack {
  readonly #uids: readonly IdRange[] | undefined
  readonly #gids: readonly IdRange[] | undefined

  /** @param map `undefined`: ids stay as they are. */
  constructor(map: IdMap | undefined) {
    this.#uids = map === undefined || !('uids' in map) ? map : map.uids
    this.#gids = map === undefined || !('gids' in map) ? map : map.gids
  }

  /** @returns `undefined` for a user whom the container does not know. */
  uid(hostId: number): number | undefined {
    return mapBack(this.#uids, hostId)
  }

  /** @returns `undefined` for a group that the container does not know. */
  gid(hostId: number): number | undefined {
    return mapBack(this.#gids, hostId)
  }

  /**
   * Turns the ids inside of an attribute: those that an access control list names, and the one that file capabilities are
   * bound to. Capabilities of the container's root become unbound ones, as an image has them.
   *
   * @returns the value, or `undefined` when it names an id that the container does not know.
   */
  xattr(name: ByteString, value: Buffer): Buffer | undefined {
    if (this.#uids === undefined) return value
    if (name === kCapabilityXattr) return this.#capability(value)
    return name.startsWith(kAclPrefix) ? this.#acl(value) : value
  }

  /** @source linux/capability.h, struct vfs_ns_cap_data */
  #capability(value: Buffer): Buffer | undefined {
    if (value.length !== kCapability3Bytes) return value
    const magic = value.readUInt32LE(0)
    if ((magic & kCapabilityRevisionMask) >>> 0 !== kCapabilityRevision3) return value
    if (this.uid(value.readUInt32LE(kCapability2Bytes)) !== 0) return undefined
    const bytes = Buffer.from(value.subarray(0, kCapability2Bytes))
    bytes.writeUInt32LE(((magic & ~kCapabilityRevisionMask) | kCapabilityRevision2) >>> 0, 0)
    return bytes
  }

  /** @source linux/posix_acl_xattr.h */
  #acl(value: Buffer): Buffer | undefined {
    const bytes = Buffer.from(value)
    for (let at = 4; at + 8 <= bytes.length; at += 8) {
      const tag = bytes.readUInt16LE(at)
      if (tag !== kAclUser && tag !== kAclGroup) continue
      const hostId = bytes.readUInt32LE(at + 4)
      const id = tag === kAclUser ? this.uid(hostId) : this.gid(hostId)
      if (id === undefined) return undefined
      bytes.writeUInt32LE(id, at + 4)
    }
    return bytes
  }
}

function mapBack(ranges: readonly IdRange[] | undefined, hostId: number): number | undefined {
  if (ranges === undefined) return hostId
  const range = ranges.find((each) => hostId >= each.hostId && hostId < each.hostId + each.size)
  return range === undefined ? undefined : range.containerId + hostId - range.hostId
}
