// SPDX-License-Identifier: MIT
import { NotFoundError, WherryError } from '../errors.ts'

/** One line of /etc/passwd. */
export interface PasswdEntry {
  name: string
  uid: number
  gid: number
  home: string
}

/** One line of /etc/group. */
export interface GroupEntry {
  name: string
  gid: number
  members: string[]
}

/** Who the first process is, as seen inside the container. */
export interface ResolvedUser {
  uid: number
  gid: number
  /** Supplementary groups, the primary one first, as Docker does: a group that is left out could lift a negative permission. */
  additionalGids: number[]
  /** Home directory; `/` when the image's files do not say. */
  home: string
  /** Name in /etc/passwd; `null` for an id without a line there. */
  name: string | null
}

/** Contents of the image's own files; `null` where it has none. */
export interface UserFiles {
  passwd: Uint8Array | null
  group: Uint8Array | null
}

/** Largest /etc/passwd or /etc/group that is read, in bytes. An image can hold anything. */
export const kMaxUserFileBytes = 4 * 1024 ** 2

/** -1 as an id means "do not change" to the kernel. */
const kMaxId = 2 ** 32 - 2

/** Parses /etc/passwd. Lines without a whole user id and group id are left out: guessing 0 would be guessing root. */
export function parsePasswd(bytes: Uint8Array): PasswdEntry[] {
  return fieldsOf(bytes, '/etc/passwd').flatMap(([name = '', , uidText, gidText, , home = '']) => {
    const uid = parseId(uidText)
    const gid = parseId(gidText)
    if (uid === undefined || gid === undefined) return []
    return [{ name, uid, gid, home: home.startsWith('/') && !home.includes('\0') ? home : '/' }]
  })
}

/** Parses /etc/group. Lines without a whole group id are left out. */
export function parseGroup(bytes: Uint8Array): GroupEntry[] {
  return fieldsOf(bytes, '/etc/group').flatMap(([name = '', , gidText, members = '']) => {
    const gid = parseId(gidText)
    return gid === undefined ? [] : [{ name, gid, members: members.split(',').filter((member) => member !== '') }]
  })
}

/**
 * Looks up who a container runs as, by Docker's rules:
 *
 * - `''` is user 0; `'name'` and `'uid'` take the primary and supplementary groups from the image's files;
 * - with `':group'` that group is the primary one and there are no supplementary ones;
 * - an id needs no line in the files, a name does; of several lines that fit, the first counts.
 *
 * @param user - `name`, `uid`, `name:group`, `uid:gid` or any mix; empty is root.
 * @param groups - further groups, names or ids.
 * @throws {NotFoundError} for a name that the file does not have.
 */
export function resolveUser(user: string, groups: readonly string[], files: UserFiles): ResolvedUser {
  const [userPart = '', groupPart = ''] = user.split(':', 2)
  const entry = findUser(userPart, files.passwd)
  // Most containers run as an id with no group to look for: /etc/group is parsed only when it can matter.
  const needsGroups = groupPart !== '' || groups.length > 0 || entry.name !== null
  const known = needsGroups && files.group !== null ? parseGroup(files.group) : []

  const gid = groupPart === '' ? entry.gid : findGroup(groupPart, known)
  const implied = groupPart === '' && entry.name !== null ? groupsOf(entry.name, known) : []
  const further = groups.map((group) => findGroup(group, known))
  return { ...entry, gid, additionalGids: [...new Set([gid, ...implied, ...further])] }
}

function findUser(user: string, passwd: Uint8Array | null): Omit<ResolvedUser, 'additionalGids'> {
  const id = user === '' ? 0 : parseId(user)
  const found = (passwd === null ? [] : parsePasswd(passwd)).find(
    (entry) => (user !== '' && entry.name === user) || entry.uid === id,
  )
  if (found !== undefined) return found
  if (id !== undefined) return { uid: id, gid: 0, home: '/', name: null }
  throw notFound('user', user, '/etc/passwd', passwd)
}

function findGroup(group: string, known: readonly GroupEntry[]): number {
  const id = parseId(group)
  const found = known.find((entry) => entry.name === group || entry.gid === id)
  const gid = found?.gid ?? id
  if (gid === undefined) throw notFound('group', group, '/etc/group', known)
  return gid
}

function groupsOf(name: string, known: readonly GroupEntry[]): number[] {
  return known.filter((entry) => entry.members.includes(name)).map((entry) => entry.gid)
}

function notFound(kind: 'user' | 'group', name: string, file: string, contents: unknown): NotFoundError {
  const where = contents === null ? `the image has no ${file}` : `${file} of the image has no line for it`
  return new NotFoundError(
    `The ${kind} ${JSON.stringify(name)} was not found: ${where}.`,
    `use a numeric id, or add the ${kind} to the image.`,
  )
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= kMaxId ? id : undefined
}

function fieldsOf(bytes: Uint8Array, file: string): string[][] {
  if (bytes.length > kMaxUserFileBytes) {
    throw new WherryError(`${file} of the image is larger than ${kMaxUserFileBytes} bytes.`, {
      code: 'ERR_USER_FILE_TOO_LARGE',
      hint: "use an image with a smaller file; numeric ids in 'user' still need it.",
    })
  }
  return new TextDecoder()
    .decode(bytes)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':').map((field) => field.trim()))
}
