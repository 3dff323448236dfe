// SPDX-License-Identifier: MIT

/** One line of /proc/self/mountinfo, with octal escapes undone. */
export interface MountEntry {
  id: number
  parentId: number
  /** `major:minor` of the file system. */
  device: string
  /** The directory of the file system which is the root of this mount. */
  root: string
  mountPoint: string
  /** Options of this mount: `rw`, `nosuid`, … */
  options: readonly string[]
  /** Optional fields: `shared:1`, `master:2`, … Empty for a private mount. */
  propagation: readonly string[]
  fsType: string
  source: string
  /** Options of the file system, shared by all its mounts. */
  superOptions: readonly string[]
}

/**
 * Parses the text of /proc/self/mountinfo. Lines that do not follow the format are left out, as a later kernel may add some.
 *
 * @returns entries in the kernel's order: a later entry with the same mount point covers the earlier one
 * @source man 5 proc_pid_mountinfo
 */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const entry = parseLine(line)
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

/** Undoes the kernel's `\ooo` escapes of space, tab, newline, `#` and backslash. */
export function unescapeMountField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(' ')
  // The number of optional fields varies; a lone '-' ends them. A path that is "-" cannot stand before index 6.
  const dash = fields.indexOf('-', 6)
  const [id, parentId, device, root, mountPoint, options] = fields
  const [fsType, source, superOptions] = dash === -1 ? [] : fields.slice(dash + 1)
  if (device === undefined || root === undefined || mountPoint === undefined || options === undefined) return undefined
  if (fsType === undefined || source === undefined || superOptions === undefined) return undefined
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unescapeMountField(root),
    mountPoint: unescapeMountField(mountPoint),
    options: options.split(','),
    propagation: fields.slice(6, dash),
    fsType: unescapeMountField(fsType),
    source: unescapeMountField(source),
    superOptions: superOptions.split(',').map(unescapeMountField),
  }
}
