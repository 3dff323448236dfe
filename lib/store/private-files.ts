// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises'

/*
 * Files and directories for their owner only. The umask of a process can take even that: then root leaves what a later owner of
 * the tree cannot use, and an ordinary user cannot go on at once. It belongs to the whole process and is not for us to change.
 */

/** Makes a directory with mode 0700 in one that nobody else can write to. @throws EEXIST, and whatever mkdir(2) does */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 })
  await chmod(path, 0o700)
}

/** Opens a file, made with mode 0600 when absent. @param flags how it is opened besides */
export async function openPrivateFile(path: string, flags: number): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    await file.chmod(0o600)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Writes a file with mode 0600; one that is there gets the new content. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const file = await openPrivateFile(path, constants.O_WRONLY | constants.O_TRUNC)
  try {
    await file.writeFile(text)
  } finally {
    await file.close()
  }
}
