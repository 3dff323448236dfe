// SPDX-License-Identifier: MIT
import { execFile } from 'node:child_process'
import { open, rm, statfs } from 'node:fs/promises'
import { promisify } from 'node:util'
import { readIfThere } from './files.ts'

const kMaxBytes = 24 * 1024 ** 3
/** Below this the Debian layers of P3 have no room. */
const kMinBytes = 4 * 1024 ** 3
const kInodes = 1024 ** 2 / 2

/** Where subjects keep their files. */
export interface BenchFileSystem {
  /** A file to be mounted with `-o loop`; `undefined`: the directory for temporary files itself. */
  readonly image: string | undefined
  /** For the report. */
  readonly description: string
}

/**
 * Makes a new file system in a file: what a subject's files cost then does not depend on what was deleted on this host lately. An
 * ext4 without a journal, as virtual machines have it, gives no inode away again for minutes, and passes over each of them for
 * every file that is made.
 *
 * @source https://github.com/torvalds/linux/blob/v6.18/fs/ext4/ialloc.c, recently_deleted()
 */
export async function makeFileSystem(path: string, temporary: string): Promise<BenchFileSystem> {
  const reason = await make(path, temporary)
  if (reason === undefined)
    return { image: path, description: 'ext4 with a journal, made for each job in a loop device' }
  await rm(path, { force: true })
  return { image: undefined, description: `that of the directory for temporary files (${reason})` }
}

/** @returns why not */
async function make(path: string, temporary: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root may mount another'
  const { bavail, bsize } = await statfs(temporary)
  const sizeBytes = Math.min(kMaxBytes, Math.floor(bavail * bsize * 0.8))
  if (sizeBytes < kMinBytes) return `${Math.floor((bavail * bsize) / 1024 ** 2)} MiB are free there`
  if (
    (await readIfThere('/sys/module/loop/uevent')) === undefined &&
    (await readIfThere('/proc/devices'))?.includes(' loop\n') !== true
  )
    return 'the kernel has no loop devices'
  const file = await open(path, 'wx', 0o600)
  await file.truncate(sizeBytes)
  await file.close()
  // Nothing is put off: the kernel would write inode tables while subjects are measured.
  const options = ['-q', '-F', '-N', String(kInodes), '-E', 'lazy_itable_init=0,lazy_journal_init=0']
  const answer = await promisify(execFile)('mkfs.ext4', [...options, path]).catch((error: unknown) => error)
  return answer instanceof Error ? 'mkfs.ext4 failed' : undefined
}
