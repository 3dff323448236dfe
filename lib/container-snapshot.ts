// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import { heldStill, withWritableLayer } from './container-files/writable-layer.ts'
import type { StoredContainer } from './containers/container-store.ts'
import type { Engine } from './engine.ts'
import { ConflictError, NotFoundError } from './errors.ts'
import { commitImage } from './image-archive/commit.ts'
import { isDigest } from './oci/digest.ts'
import { templateReference } from './oci/template-reference.ts'
import { checkBoolean, checkObject } from './options/checks.ts'
import type { StoredImage } from './store/image-store.ts'
import { Template } from './template.ts'

/** Options of {@link Container.snapshot}. */
export interface ContainerSnapshotOptions {
  /** Whether a container that runs is paused while its files are read. @default true */
  pause?: boolean | undefined
  /** Aborting leaves no template. */
  signal?: AbortSignal | undefined
}

/** @see Container.snapshot */
export async function snapshotOf(
  engine: Engine,
  id: string,
  options: ContainerSnapshotOptions = {},
): Promise<Template> {
  const { signal } = checkObject('', options, ['pause', 'signal']) as ContainerSnapshotOptions
  const pause = checkBoolean('pause', options.pause, true)
  signal?.throwIfAborted()
  engine.assertOpen()
  const parts = { containers: engine.containers, runtime: await engine.runtime() }
  const template = randomBytes(32).toString('hex')
  await heldStill(parts, id, pause, (stored) =>
    withWritableLayer(parts, stored, 'snapshot', async ({ directory, server }) => {
      const { record, state } = stored
      const parent = await parentOf(engine, stored)
      const { os, architecture, variant } = parent.config
      const { command, options: kept, stdin, health } = record
      const from = { id: record.id, name: state.name }
      await engine.templates.write({
        id: template,
        createdAt: new Date().toISOString(),
        from,
        command,
        options: kept,
        stdin,
        health,
        restart: state.restart,
      })
      try {
        await commitImage(engine.store, {
          parent,
          platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
          // It goes nowhere: packing it small would only take time.
          layer: { directory, server, layer: `of container ${state.name}`, compression: 'none' },
          references: [templateReference(template)],
          created: new Date(),
          createdBy: `snapshot of container ${state.name}`,
          signal,
        })
      } catch (error) {
        await engine.templates.remove(template)
        throw error
      }
    }),
  )
  return await Template.get(template, { engine })
}

/** The image of a container. Removed from the list, as that of a template may be, it is there as long as the container. */
async function parentOf({ store }: Engine, { record, state }: StoredContainer): Promise<StoredImage> {
  const { id } = record.image
  if (id === null) throw new ConflictError(`Container ${record.id} has no image.`)
  try {
    return await store.images.get(id)
  } catch (error) {
    const [manifest] = state.content
    if (!(error instanceof NotFoundError) || manifest === undefined || !isDigest(manifest)) throw error
    return await store.images.unlisted(manifest)
  }
}
