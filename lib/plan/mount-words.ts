// SPDX-License-Identifier: MIT

/** Mount attributes of fsmount(2) and mount_setattr(2). */
export const kMountAttr = {
  readOnly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
  idmap: 0x100000,
} as const

/** MS_ flags of mount(2) that propagation takes. */
export const kMountFlag = {
  rec: 0x4000,
  unbindable: 0x20000,
  private: 0x40000,
  slave: 0x80000,
  shared: 0x100000,
} as const

const attributes: Readonly<Record<string, number>> = {
  ro: kMountAttr.readOnly,
  rro: kMountAttr.readOnly,
  nosuid: kMountAttr.nosuid,
  nodev: kMountAttr.nodev,
  noexec: kMountAttr.noexec,
  noatime: kMountAttr.noatime,
  strictatime: kMountAttr.strictatime,
  nodiratime: kMountAttr.nodiratime,
}

const propagations: Readonly<Record<string, number>> = {
  private: kMountFlag.private,
  rprivate: kMountFlag.private,
  slave: kMountFlag.slave,
  rslave: kMountFlag.slave,
  shared: kMountFlag.shared,
  rshared: kMountFlag.shared,
}

const ignored = new Set(['rw', 'suid', 'dev', 'exec', 'relatime', 'atime', 'defaults', 'bind', 'rbind'])

/** What mount(8) words mean to the kernel. `data` are the words that belong to the file system. */
export interface MountWords {
  attr: number
  recursive: boolean
  propagation: number
  /** Whether ids are shown as the container's user namespace maps them. */
  idMapped: boolean
  /** What of the source is mounted; empty: all of it. */
  subpath: string
  data: string[]
}

const kSubpath = 'X-mount.subdir='
const kNothing = { idMapped: false, subpath: '' } as const

/** Splits the options of an OCI mount into attributes of the mount, propagation, and data of the file system. */
export function parseMountWords(options: readonly string[] = []): MountWords {
  const recursive = options.includes('rbind')
  const result: MountWords = { attr: 0, recursive, propagation: 0, ...kNothing, data: [] }
  for (const word of options) {
    const attr = Object.hasOwn(attributes, word) ? attributes[word] : undefined
    const propagation = Object.hasOwn(propagations, word) ? propagations[word] : undefined
    if (attr !== undefined) result.attr |= attr
    else if (propagation !== undefined) result.propagation = propagation
    else if (word === 'idmap') result.idMapped = true
    else if (word.startsWith(kSubpath)) result.subpath = word.slice(kSubpath.length)
    else if (!ignored.has(word)) result.data.push(word)
  }
  return result
}
