// SPDX-License-Identifier: MIT
import type { Image, ImagePullOptions } from '../../index.ts'
import type { Cli, Library } from '../cli.ts'
import { pullItem } from '../progress/item.ts'
import { withProgress } from '../progress/progress.ts'

interface FindOptions extends Omit<ImagePullOptions, 'signal' | 'onProgress'> {
  readonly quiet?: boolean | undefined
}

/** Finds the image of a container here, by name or id, or gets it from its registry and says so. */
export async function findOrPull(cli: Cli, library: Library, name: string, options: FindOptions): Promise<Image> {
  const { quiet, ...pull } = options
  if (pull.policy !== 'always') {
    const found = await findHere(library, name, options)
    if (found !== undefined) return found
    if (pull.policy === 'missing' && quiet !== true) cli.tell(`Unable to find image '${name}' locally`)
  }
  return withProgress(cli, { quiet }, (show) =>
    library.Image.pull(name, {
      ...pull,
      signal: cli.signal,
      onProgress: (progress) => show(pullItem(progress)),
    }),
  )
}

/** @returns nothing for a name that can be asked for at a registry. @throws {NotFoundError} for an id. */
async function findHere(library: Library, name: string, options: FindOptions): Promise<Image | undefined> {
  const { Image, NotFoundError } = library
  const { engine, platform } = options
  try {
    // Whether an image is for a platform that is asked for is the library's to judge.
    if (platform === undefined) return await Image.get(name, { engine })
    return await Image.pull(name, { engine, platform, policy: 'never' })
  } catch (error) {
    if (error instanceof NotFoundError && !/^(?:sha(?:256|512):)?[0-9a-f]{64,}$/.test(name)) return undefined
    throw error
  }
}
