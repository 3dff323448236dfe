// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoredContainer } from '../containers/container-store.ts'
import { isLive } from '../containers/end-stored.ts'
import { freezeStored } from '../containers/freeze-stored.ts'
import { rootfsOf } from '../containers/start-stored.ts'
import { ConflictError, UnsupportedHostError } from '../errors.ts'
import type { LayerChange } from '../layer/layer-changes.ts'
import { readChanges } from '../layer/read-changes.ts'
import { makeDirectory } from '../store/atomic.ts'
import { type FileServer, type FileServerParts, openIdServer } from './file-server.ts'

/** A container's writable layer, as long as it is looked at. */
export interface WritableLayer {
  /** Descriptor of the directory. */
  readonly directory: number
  /** Of the layers below it, from the topmost down. */
  readonly lowers: readonly number[]
  /** For the readers of trees: see `PackOptions.server`. */
  readonly server: number | undefined
}

/**
 * Opens the layer that a container writes to.
 *
 * @throws {ConflictError} for a container of `Image.host()`: what it shows below is the host, and no image.
 */
export async function withWritableLayer<T>(
  { containers, runtime }: FileServerParts,
  { record }: StoredContainer,
  operation: string,
  use: (layer: WritableLayer) => Promise<T>,
): Promise<T> {
  const rootfs = rootfsOf(runtime, record)
  if (rootfs.kind === 'host') {
    throw new ConflictError(
      `Cannot ${operation} a container of Image.host(): below its own files are the host's, and no image.`,
    )
  }
  const upper = join(containers.directory(record.id), 'upper')
  const handles: FileHandle[] = []
  let server: FileServer | undefined
  try {
    // One that was never started has none yet.
    await makeDirectory(upper, 0o755)
    for (const dir of [upper, ...rootfs.layers.map((layer) => layer.dir).reverse()]) {
      handles.push(await open(dir, constants.O_RDONLY | constants.O_DIRECTORY))
    }
    if (!runtime.host.facts.rootful) server = await openIdServer(runtime)
    const [directory = -1, ...lowers] = handles.map(({ fd }) => fd)
    return await use({ directory, lowers, server: server?.socket })
  } finally {
    await server?.close()
    for (const handle of handles) await handle.close()
  }
}

/** What a container has changed in its image's files. @throws {ConflictError} */
export async function changesOf(
  parts: FileServerParts,
  id: string,
  signal: AbortSignal | undefined,
): Promise<readonly LayerChange[]> {
  const stored = await parts.containers.read(id)
  return await withWritableLayer(parts, stored, 'compare', ({ directory, lowers, server }) =>
    readChanges(directory, lowers, { server, signal }),
  )
}

/**
 * Holds a container's files still while they are read: paused where it runs, and not to be started where it does not.
 *
 * @param pause - whether one that runs is paused; one that is paused stays so.
 */
export async function heldStill<T>(
  { containers, runtime }: FileServerParts,
  id: string,
  pause: boolean,
  use: (stored: StoredContainer) => Promise<T>,
): Promise<T> {
  const stored = await containers.read(id)
  if (!isLive(stored)) {
    await using _lock = await containers.lock(id)
    const again = await containers.read(id)
    if (!isLive(again)) return await use(again)
  }
  if (!pause || stored.state.status === 'paused') return await use(stored)
  await freezeStored(containers, runtime, id, 'pause').catch((error: unknown) => {
    if (!(error instanceof UnsupportedHostError)) throw error
    throw new UnsupportedHostError(error.feature, error.probe, 'say pause: false, or stop the container first', error)
  })
  try {
    return await use(stored)
  } finally {
    await freezeStored(containers, runtime, id, 'resume').catch(async (error: unknown) => {
      // Ended, removed or resumed meanwhile by somebody else.
      const now = await containers.read(id).catch(() => undefined)
      if (now?.state.status === 'paused') throw error
    })
  }
}
