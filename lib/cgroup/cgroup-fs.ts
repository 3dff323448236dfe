// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { SyscallError } from '../errors.ts'

/** Name of the errno of a failed file operation. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/** Wraps a failed file operation; errors of other kinds are passed through. */
export function fileError(intent: string, error: unknown, hint?: string): unknown {
  const { code, errno, syscall, path, message } = error as NodeJS.ErrnoException
  if (code === undefined || errno === undefined || syscall === undefined) return error
  const text = /^\w+: ([^,]+)/.exec(message)?.[1]
  const args = path === undefined ? {} : { args: JSON.stringify(path) }
  return new SyscallError(intent, {
    code,
    errno,
    syscall,
    path,
    step: 'cgroup',
    hint,
    cause: error,
    ...args,
    ...(text === undefined ? {} : { text }),
  })
}

/** Reads a cgroup file, `undefined` when the file or its cgroup is not there or cannot answer. */
export async function readCgroupFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    // ENODEV: the cgroup was removed while the file was open. EOPNOTSUPP: cgroup.procs of a threaded cgroup.
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}

/** Writes a cgroup file that exists. Never creates it, so that a misspelt name fails on every file system. */
export async function writeCgroupFile(path: string, value: string): Promise<void> {
  // An empty value would be no write at all; the kernel strips the newline.
  await writeFile(path, value === '' ? '\n' : value, { flag: constants.O_WRONLY as unknown as string })
}

/** Writes a cgroup file, and answers whether it worked. */
export async function tryWrite(path: string, value: string): Promise<boolean> {
  try {
    await writeCgroupFile(path, value)
    return true
  } catch {
    return false
  }
}

/** Makes a directory; one that is there already is fine. */
export async function ensureDir(dir: string): Promise<void> {
  try {
    await mkdir(dir, 0o755)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
}

/** Names of the files in a directory, without those of directories; empty when it is not there. */
export async function fileNames(dir: string): Promise<string[]> {
  return (await entriesOf(dir)).filter((entry) => !entry.isDirectory()).map(({ name }) => name)
}

/** Directories directly in `dir`, as full paths; empty when it is not there. */
export async function childDirs(dir: string): Promise<string[]> {
  return (await entriesOf(dir)).filter((entry) => entry.isDirectory()).map(({ name }) => `${dir}/${name}`)
}

/** `dir` and all directories below it, parents first. */
export async function walkDirs(dir: string): Promise<string[]> {
  const all = [dir]
  for (let index = 0; index < all.length; index++) all.push(...(await childDirs(all[index] ?? dir)))
  return all
}

// A dying process leaves its cgroup a moment after its exit was reported.
const kBusyDelaysMs: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/**
 * Removes a cgroup and those made inside it. One that is not there is fine. Waits up to two seconds for processes which are
 * just ending; on failure what was removed stays removed.
 *
 * @throws {SyscallError} EBUSY when a process is still in it
 */
export async function removeCgroupDir(dir: string): Promise<void> {
  for (const delayMs of [...kBusyDelaysMs, undefined]) {
    try {
      await rmdir(dir)
      return
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      const busy = codeOf(error) === 'EBUSY' || codeOf(error) === 'ENOTEMPTY'
      if (!busy || delayMs === undefined) {
        throw fileError(
          `Removing the cgroup ${dir}`,
          error,
          busy ? 'end the processes that are in it first.' : undefined,
        )
      }
      const inner = await childDirs(dir)
      // The kernel has no children made by others in a hurry: those of a dead container are all there is.
      if (inner.length > 0) await removeInner(dir)
      else await delay(delayMs)
    }
  }
}

/** From the bottom up, without recursion: a container may have nested cgroups as deep as the kernel lets it. */
async function removeInner(dir: string): Promise<void> {
  for (const inner of (await walkDirs(dir)).slice(1).reverse()) {
    try {
      await rmdir(inner)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') continue
      // Left for the next round, after a pause.
      await delay(1)
      return
    }
  }
}

async function entriesOf(dir: string) {
  try {
    return await readdir(dir, { withFileTypes: true })
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV') return []
    throw error
  }
}
