import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a file so that a reader sees the old bytes or the new ones and nothing between, also after a power cut.
 *
 * @param scratch - a path on the same file system that nobody else uses; gone afterwards, unless the process is killed.
 * @param mode - permission bits, whatever the umask. @default 0o600
 */
export async function writeFileAtomic(
  scratch: string,
  target: string,
  bytes: Uint8Array | string,
  mode = 0o600,
): Promise<void> {
  const file = await open(
    scratch,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    mode,
  )
  try {
    await file.writeFile(bytes)
    await file.chmod(mode)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(scratch, target)
  await syncDirectory(dirname(target))
}

/**
 * As {@link writeFileAtomic}, for what need not be there after a power cut, where it may also be empty: nobody waits for the disk.
 */
export async function replaceFile(scratch: string, target: string, text: string): Promise<void> {
  const file = await open(
    scratch,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  )
  try {
    await file.writeFile(text)
    await file.chmod(0o600)
  } finally {
    await file.close()
  }
  await rename(scratch, target)
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await dir.sync()
  } finally {
    await dir.close()
  }
}

/** Makes a directory with exactly these permission bits, whatever the umask; one that exists is left as it is. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return
    throw error
  }
  await changeMode(path, mode)
}

const kPath = 0o10000000 // O_PATH, which Node does not name: the umask may have left no permission to open it

/** Through a descriptor: the path could be another thing by now if somebody else can write to the parent. */
async function changeMode(path: string, mode: number): Promise<void> {
  const dir = await open(path, kPath | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    await chmod(`/proc/self/fd/${dir.fd}`, mode)
  } finally {
    await dir.close()
  }
}

/**
 * Makes a directory and those above it. Not by Node's `recursive`, which never ends where a file system says ENOENT though the
 * parent is there, as /proc does.
 *
 * @param mode - permission bits, less the umask, which does not shut the owner out. @default 0o755
 * @returns the uppermost directory that was made; `undefined` where all were there.
 */
export async function makeDirectories(path: string, mode = 0o755): Promise<string | undefined> {
  if (await makeOne(path, mode)) return path
  if (await isDirectory(path)) return undefined
  const first = await makeDirectories(dirname(path), mode)
  await makeForOwner(path, mode).catch(async (error: unknown) => {
    if (!isErrno(error, 'EEXIST') || !(await isDirectory(path))) throw error
  })
  return first ?? path
}

/** @returns whether it was made; false also where its parent is missing. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await makeForOwner(path, mode)
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST', 'EISDIR') && (await isDirectory(path))) return false
    if (isErrno(error, 'ENOENT') && path !== dirname(path)) return false
    throw error
  }
}

async function makeForOwner(path: string, mode: number): Promise<void> {
  await mkdir(path, { mode })
  const actual = (await lstat(path)).mode & 0o7777
  if ((actual & 0o700) !== 0o700) await changeMode(path, actual | 0o700)
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

/** Tells whether an error is one of Node's with one of these codes. */
export function isErrno(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}
