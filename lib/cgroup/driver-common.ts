// SPDX-License-Identifier: MIT
import { mkdir, rmdir, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { ConflictError, InvalidOptionError, UnsupportedHostError } from '../errors.ts'
import { type Cgroup, EmptyCgroup, kDelegationHint } from './cgroup.ts'
import { childDirs, codeOf, fileError, removeCgroupDir } from './cgroup-fs.ts'

/** What both drivers take. */
export interface DriverSettings {
  parent: string
  required: boolean
  controllers: readonly string[] | undefined
}

/**
 * Names become directories beside the kernel's own files, all of which have a dot or are refused as existing.
 *
 * @throws {InvalidOptionError}
 */
export function checkName(option: string, name: string): string {
  if (/^[A-Za-z0-9_-]{1,128}$/.test(name)) return name
  throw new InvalidOptionError(option, "1 to 128 letters, digits, '_' or '-'", name)
}

/** An empty cgroup, or the error which says why there is none. */
export function noCgroup(name: string, required: boolean, probe: string, hint: string = kDelegationHint): Cgroup {
  if (required) throw new UnsupportedHostError('cgroups', probe, hint)
  return new EmptyCgroup(name)
}

/** A parent directory has vanished under us: somebody tidied up. */
export class ParentGoneError extends Error {}

/**
 * Makes directories at the same time: all or none.
 *
 * @throws {ConflictError} when one is there already
 * @throws {ParentGoneError} when the directory above is not there
 */
export async function makeAll(name: string, dirs: readonly string[]): Promise<void> {
  const results = await Promise.allSettled(dirs.map((dir) => mkdir(dir, 0o755)))
  const failed = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason as unknown)
  if (failed.length === 0) return
  await Promise.allSettled(dirs.filter((_, index) => results[index]?.status === 'fulfilled').map(removeCgroupDir))
  const exists = failed.some((error) => codeOf(error) === 'EEXIST')
  if (exists) throw new ConflictError(`A cgroup named ${name} exists.`, 'remove the container that uses it.')
  if (failed.some((error) => codeOf(error) === 'ENOENT')) throw new ParentGoneError()
  throw fileError(`Making the cgroup ${name}`, failed[0])
}

/** Runs `make`, and once more after `prepare` when the parents have gone meanwhile. */
export async function withParents<T>(
  prepare: (again: boolean) => Promise<unknown>,
  make: () => Promise<T>,
): Promise<T> {
  await prepare(false)
  try {
    return await make()
  } catch (error) {
    if (!(error instanceof ParentGoneError)) throw error
    await prepare(true)
    return await make()
  }
}

/** Those directories which exist. */
export async function existingDirs(dirs: readonly string[]): Promise<Set<string>> {
  const results = await Promise.allSettled(dirs.map((dir) => stat(dir)))
  return new Set(dirs.filter((_, index) => results[index]?.status === 'fulfilled'))
}

/** Names of the directories in any of `parents`, sorted. */
export async function namesIn(parents: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(parents.map(childDirs))
  return [...new Set(lists.flat().map((dir) => basename(dir)))].sort()
}

/** Removes directories that are empty; leaves the others. */
export async function removeEmpty(dirs: readonly string[]): Promise<void> {
  await Promise.allSettled(dirs.map((dir) => rmdir(dir)))
}
