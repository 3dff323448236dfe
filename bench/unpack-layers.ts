// SPDX-License-Identifier: MIT
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requireSuccess, runCommand } from './command.ts'

/** Into how many the distribution is cut for the image of many layers. */
export const kLayerCount = 12

/** Archives of the same files. */
export interface UnpackLayers {
  plain: string
  gzip: string
  /** The files in {@link kLayerCount} layers of about as many entries each. */
  parts: readonly string[]
}

/** Makes Debian's minimal system as layers. WHERRY_TEST_DEBIAN_TAR names a tar of it that is there already. */
export async function makeUnpackLayers(directory: string, signal: AbortSignal): Promise<UnpackLayers> {
  await mkdir(directory, { recursive: true })
  const plain = join(directory, 'debian.tar')
  const ready = process.env.WHERRY_TEST_DEBIAN_TAR
  if (ready === undefined) {
    const variant = ['--variant=minbase', '--include=procps', '--aptopt=Acquire::Languages "none"', 'bookworm']
    await requireSuccess('mmdebstrap', [...variant, plain], { signal })
  } else {
    await copyFile(ready, plain)
  }
  await requireSuccess('gzip', ['-k', plain])
  return { plain, gzip: `${plain}.gz`, parts: await cut(plain, directory) }
}

async function cut(plain: string, directory: string): Promise<string[]> {
  const tree = join(directory, 'tree')
  await mkdir(tree)
  await requireSuccess('tar', ['--numeric-owner', '--xattrs', '-xpf', plain, '-C', tree])
  const { stdout } = await runCommand('tar', ['--quoting-style=literal', '-tf', plain])
  const names = stdout.toString('latin1').trimEnd().split('\n')
  const size = Math.ceil(names.length / kLayerCount)
  const parts: string[] = []
  for (let index = 0; index < kLayerCount; index++) {
    const list = join(directory, `list-${index}`)
    const part = join(directory, `part-${index}.tar.gz`)
    await writeFile(list, names.slice(index * size, (index + 1) * size).join('\n'), 'latin1')
    const flags = ['--numeric-owner', '--xattrs', '--format=posix', '--no-recursion', '--verbatim-files-from']
    await requireSuccess('tar', ['-czf', part, ...flags, '-C', tree, '-T', list])
    parts.push(part)
  }
  await rm(tree, { recursive: true })
  return parts
}
