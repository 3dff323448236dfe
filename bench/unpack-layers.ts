// SPDX-License-Identifier: MIT
import { copyFile, mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../lib/oci/digest.ts'
import { digestFile } from '../lib/store/digest-file.ts'
import { findExecutable, requireSuccess, runCommand } from './command.ts'
import { missingRoom, readIfThere } from './files.ts'
import { SkipError } from './subject.ts'
import { describeError } from './subject-pool.ts'

/** Into how many the distribution is cut for the image of many layers. */
export const kLayerCount = 12

/** What is needed while layers are made: the system's tree, and its tar three times, compressed or not. */
const kRoomBytes = 800e6
const kTarFlags = ['--numeric-owner', '--xattrs', '--xattrs-include=*']

/** A layer as a file. */
export interface Archive {
  path: string
  /** Of the file. */
  digest: Digest
  /** Of the tar in it. */
  diffId: Digest
}

/** Archives of the same files. */
export interface UnpackLayers {
  plain: Archive
  gzip: Archive
  /** The files in {@link kLayerCount} layers of about as many entries each, compressed by gzip. */
  parts: readonly Archive[]
  /** About as much as the unpacked files take. */
  treeBytes: number
}

/**
 * Makes Debian's minimal system as layers below `directory`, or finds those that an earlier job of this run made there.
 * WHERRY_TEST_DEBIAN_TAR names a tar of it that is there already.
 * @throws {SkipError} where it cannot be had
 */
export async function findUnpackLayers(directory: string, signal: AbortSignal): Promise<UnpackLayers> {
  const index = join(directory, 'layers.json')
  const text = await readIfThere(index)
  if (text !== undefined) return JSON.parse(text) as UnpackLayers
  await mkdir(directory, { recursive: true })
  const missing = await missingRoom(directory, kRoomBytes)
  if (missing !== undefined) throw new SkipError(`no layers: ${missing}`)
  const layers = await makeUnpackLayers(directory, signal)
  await writeFile(index, JSON.stringify(layers))
  return layers
}

async function makeUnpackLayers(directory: string, signal: AbortSignal): Promise<UnpackLayers> {
  const path = join(directory, 'debian.tar')
  await makeDebian(path, signal).catch((error: unknown) => {
    throw new SkipError(`no layers: ${describeError(error)}`)
  })
  const diffId = await digestFile(path, 'sha256', signal)
  const parts = await cut(path, directory, signal)
  // A tar has no holes, a file system rounds up to blocks: 9,000 entries in 170 MB take some 20 % more.
  const treeBytes = (await stat(path)).size * 1.25
  return { plain: { path, digest: diffId, diffId }, gzip: await compress(path, diffId, signal), parts, treeBytes }
}

async function makeDebian(path: string, signal: AbortSignal): Promise<void> {
  const ready = process.env.WHERRY_TEST_DEBIAN_TAR
  if (ready !== undefined) return copyFile(ready, path)
  if ((await findExecutable('mmdebstrap')) === undefined) throw new SkipError('mmdebstrap is not installed')
  const variant = ['--variant=minbase', '--include=procps', '--aptopt=Acquire::Languages "none"', 'bookworm']
  await requireSuccess('mmdebstrap', [...variant, path], { signal })
}

/** Compresses a file beside itself, which stays. */
async function compress(path: string, diffId: Digest, signal: AbortSignal): Promise<Archive> {
  await requireSuccess('gzip', ['-k', path], { signal })
  return { path: `${path}.gz`, digest: await digestFile(`${path}.gz`, 'sha256', signal), diffId }
}

async function cut(plain: string, directory: string, signal: AbortSignal): Promise<Archive[]> {
  const tree = join(directory, 'tree')
  await mkdir(tree)
  await requireSuccess('tar', [...kTarFlags, '-xpf', plain, '-C', tree], { signal })
  const { stdout } = await runCommand('tar', ['--quoting-style=literal', '-tf', plain], { signal })
  const names = stdout.toString('latin1').trimEnd().split('\n')
  const size = Math.ceil(names.length / kLayerCount)
  const parts: Archive[] = []
  for (let index = 0; index < kLayerCount; index++) {
    const list = join(directory, `list-${index}`)
    const part = join(directory, `part-${index}.tar`)
    await writeFile(list, names.slice(index * size, (index + 1) * size).join('\n'), 'latin1')
    const flags = [...kTarFlags, '--format=posix', '--no-recursion', '--verbatim-files-from']
    await requireSuccess('tar', ['-cf', part, ...flags, '-C', tree, '-T', list], { signal })
    parts.push(await compress(part, await digestFile(part, 'sha256', signal), signal))
    await rm(part)
  }
  await rm(tree, { recursive: true })
  return parts
}
