// SPDX-License-Identifier: MIT

import type { FileServerParts } from './container-files/file-server.ts'
import { changesOf, heldStill, withWritableLayer } from './container-files/writable-layer.ts'
import type { ContainerRecord } from './containers/record.ts'
import { optionsOf } from './containers/recorded-options.ts'
import type { Engine } from './engine.ts'
import { ConflictError } from './errors.ts'
import { Image } from './image.ts'
import { commitImage } from './image-archive/commit.ts'
import type { LayerChange } from './layer/layer-changes.ts'
import type { ImageRuntimeConfig } from './oci/image-config.ts'
import { checkBoolean, checkObject, checkString } from './options/checks.ts'
import { checkImageConfig, tagReference } from './options/image-options.ts'

export type { LayerChange }

/** Options of {@link Container.changes}. */
export interface ContainerChangesOptions {
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.commit}. */
export interface ContainerCommitOptions {
  /** What containers of the image get instead of what this container and its image say: `Cmd`, `Entrypoint`, `Env`, … @default {} */
  changes?: ImageRuntimeConfig | undefined
  author?: string | undefined
  /** For the history. */
  message?: string | undefined
  /** Whether a container that runs is paused while its files are read. @default true */
  pause?: boolean | undefined
  /** Aborting leaves no image. */
  signal?: AbortSignal | undefined
}

/** @see Container.changes */
export async function changesIn(
  engine: Engine,
  id: string,
  options: ContainerChangesOptions = {},
): Promise<readonly LayerChange[]> {
  checkObject('', options, ['signal'])
  return await changesOf(await partsOf(engine), id, options.signal)
}

/** @see Container.commit */
export async function commitFrom(
  engine: Engine,
  id: string,
  reference: string | undefined,
  options: ContainerCommitOptions = {},
): Promise<Image> {
  checkObject('', options, ['changes', 'author', 'message', 'pause', 'signal'])
  const { signal } = options
  const references = reference === undefined ? [] : [tagReference(reference)]
  const changes = checkImageConfig(options.changes)
  const author = options.author === undefined ? undefined : checkString('author', options.author)
  const comment = options.message === undefined ? undefined : checkString('message', options.message)
  const pause = checkBoolean('pause', options.pause, true)
  signal?.throwIfAborted()
  const parts = await partsOf(engine)
  const made = await heldStill(parts, id, pause, async (stored) => {
    const { record } = stored
    return await withWritableLayer(parts, stored, 'commit', async ({ directory, server }) => {
      if (record.image.id === null) throw new ConflictError(`Container ${id} has no image.`)
      const parent = await engine.store.images.get(record.image.id)
      const config = { ...configOf(record), ...changes }
      const { os, architecture, variant } = parent.config
      return await commitImage(engine.store, {
        parent,
        platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
        layer: { directory, server, layer: `of container ${stored.state.name}` },
        config,
        references,
        created: new Date(),
        createdBy: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])].join(' '),
        author,
        comment,
        signal,
      })
    })
  })
  return await Image.get(made.image.digest, { engine })
}

async function partsOf(engine: Engine): Promise<FileServerParts> {
  return { containers: engine.containers, runtime: await engine.runtime() }
}

/** What a container says itself stands for what its image says, as in `docker commit`. */
function configOf(record: ContainerRecord): ImageRuntimeConfig {
  const { imageConfig, command, options } = record
  const own = optionsOf(record)
  const variables = new Map((imageConfig.Env ?? []).map((entry) => [entry.split('=', 1)[0] ?? '', entry]))
  for (const [name, value] of own.env) {
    if (value === null) variables.delete(name)
    else variables.set(name, `${name}=${value}`)
  }
  return {
    ...(command === null ? {} : { Cmd: [...command] }),
    // With an entrypoint of its own, the image's command has lapsed.
    ...(own.entrypoint === null ? {} : { Entrypoint: [...own.entrypoint], Cmd: [...(command ?? [])] }),
    ...(own.env.size === 0 ? {} : { Env: [...variables.values()] }),
    ...(own.user === null ? {} : { User: own.user }),
    ...(own.cwd === null ? {} : { WorkingDir: own.cwd }),
    ...(options.labels === undefined ? {} : { Labels: { ...imageConfig.Labels, ...own.labels } }),
  }
}
