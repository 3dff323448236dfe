// SPDX-License-Identifier: MIT

/** A range of host ids. */
export interface SubidRange {
  start: number
  count: number
}

/** One line of /etc/subuid or /etc/subgid; `owner` is a name or a number written in decimal. */
export interface SubidEntry extends SubidRange {
  owner: string
}

/** What {@link chooseSubids} looks at. */
export interface SubidInput {
  uid: number
  /** Login name of `uid`, where it has one. */
  userName?: string | undefined
  /** Text of /etc/subuid; empty when the file is missing. */
  subuid: string
  /** Text of /etc/subgid; empty when the file is missing. */
  subgid: string
}

/** Where ranges came from: an entry of that owner, wherry's own default, or nowhere. */
export type SubidSource = 'wherry' | 'containers' | 'user' | 'default' | 'none'

/** Ranges for the maps of a user namespace; empty lists when there is nothing to map but oneself. */
export interface SubidChoice {
  uids: readonly SubidRange[]
  gids: readonly SubidRange[]
  uidSource: SubidSource
  gidSource: SubidSource
}

/**
 * Ids that root takes when no file names any: above what adduser, systemd's dynamic users, nspawn and useradd hand out
 * (all below 0x70000000), and below 2^31, which some programs still take for negative.
 */
export const kDefaultSubidRange: SubidRange = Object.freeze({ start: 0x70000000, count: 65536 })

// (uid_t)-1 means "no change" to the kernel, so it can never be mapped.
const kIdLimit = 0xffffffff

/**
 * Parses /etc/subuid or /etc/subgid. Comments, malformed lines, empty ranges and ranges that hold id 0 or the invalid id
 * are left out: mapping host root into a container is never what such a file should bring about.
 *
 * @source man 5 subuid
 */
export function parseSubids(text: string): SubidEntry[] {
  const entries: SubidEntry[] = []
  for (const line of text.split('\n')) {
    const match = /^\s*([^#:\s][^:\s]*):(\d+):(\d+)\s*$/.exec(line)
    if (match === null) continue
    const entry = { owner: match[1] ?? '', start: Number(match[2]), count: Number(match[3]) }
    if (entry.start > 0 && entry.count > 0 && entry.start + entry.count <= kIdLimit) entries.push(entry)
  }
  return entries
}

/**
 * Chooses the host ids that containers' ids are mapped to. Root takes the entry of 'wherry', then of 'containers' (the
 * customary owner of ranges for containers), else {@link kDefaultSubidRange}. Another user takes their own entries, by name
 * or number. The two files are judged one by one.
 */
export function chooseSubids(input: SubidInput): SubidChoice {
  const uids = chooseFrom(parseSubids(input.subuid), input)
  const gids = chooseFrom(parseSubids(input.subgid), input)
  return { uids: uids.ranges, gids: gids.ranges, uidSource: uids.source, gidSource: gids.source }
}

function chooseFrom(entries: SubidEntry[], input: SubidInput): { ranges: SubidRange[]; source: SubidSource } {
  if (input.uid !== 0) {
    const ranges = rangesOf(entries, [input.userName, String(input.uid)])
    return { ranges, source: ranges.length === 0 ? 'none' : 'user' }
  }
  for (const source of ['wherry', 'containers'] as const) {
    const ranges = rangesOf(entries, [source])
    if (ranges.length > 0) return { ranges, source }
  }
  return { ranges: [kDefaultSubidRange], source: 'default' }
}

function rangesOf(entries: SubidEntry[], owners: readonly (string | undefined)[]): SubidRange[] {
  return entries.filter(({ owner }) => owners.includes(owner)).map(({ start, count }) => ({ start, count }))
}
