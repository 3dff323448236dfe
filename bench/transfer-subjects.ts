// SPDX-License-Identifier: MIT
// The ways to get an image from a registry, and to bring one there. Each trial has a directory of its own.
import { join } from 'node:path'
import { Engine, Image } from '../lib/index.ts'
import { requireSuccess } from './command.ts'
import type { Contender, Trial } from './contest.ts'
import { kAtOnce, kPullNames, kPushNames } from './p3-names.ts'
import { PodmanStorage } from './podman-storage.ts'
import { BenchRegistry } from './registry.ts'
import { SkipError } from './subject.ts'
import { prepareUntar } from './untar.ts'

/** An image to be pulled and pushed. */
export interface TransferImage {
  readonly name: string
  /** In a registry. */
  readonly reference: string
  /** Directory of an OCI layout that holds it as `x`. */
  readonly layout: string
  /** Its layers, oldest first. */
  readonly blobs: readonly string[]
}

/** A way to bring an image from one place to another. */
export type TransferSubject = (image: TransferImage) => Contender

const kPlain = ['--src-tls-verify=false', '--dest-tls-verify=false']

/** From a registry to files that a container can run on. */
export const kPullSubjects: readonly TransferSubject[] = [
  wherryPull,
  podmanPull,
  skopeoUmoci,
  (image) => tarOfLayers(image, kPullNames.tar, false),
  (image) => tarOfLayers(image, kPullNames.tarSynced, true),
]

/** From a store to a registry that has nothing. */
export const kPushSubjects: readonly TransferSubject[] = [wherryPush, skopeoPush]

function wherryPull({ reference }: TransferImage): Contender {
  return {
    name: kPullNames.ours,
    ours: true,
    prepare: async (trial) => {
      const engine = await openEngine(trial)
      return () => Image.pull(reference, { engine, concurrency: kAtOnce })
    },
  }
}

function podmanPull({ reference }: TransferImage): Contender {
  return {
    name: kPullNames.podman,
    needs: ['podman'],
    prepare: async (trial) => {
      const storage = await PodmanStorage.make(trial.directory)
      trial.defer(() => storage.unmount())
      return () => storage.podman(['pull', '--quiet', '--tls-verify=false', reference])
    },
  }
}

function skopeoUmoci({ reference }: TransferImage): Contender {
  return {
    name: kPullNames.skopeo,
    needs: ['skopeo', 'umoci'],
    prepare: async ({ directory }) => {
      const layout = join(directory, 'layout')
      return async () => {
        await requireSuccess('skopeo', ['copy', '--quiet', ...kPlain, `docker://${reference}`, `oci:${layout}:x`])
        await requireSuccess('umoci', ['raw', 'unpack', '--image', `${layout}:x`, join(directory, 'rootfs')])
      }
    },
  }
}

function tarOfLayers({ blobs }: TransferImage, name: string, synced: boolean): Contender {
  return { name, needs: ['tar', 'gzip'], prepare: ({ directory }) => prepareUntar(blobs, directory, { synced }) }
}

function wherryPush({ layout }: TransferImage): Contender {
  return {
    name: kPushNames.ours,
    ours: true,
    prepare: async (trial) => {
      const registry = await startEmptyRegistry(trial)
      const engine = await openEngine(trial)
      const [image] = await Image.load(layout, { engine })
      if (image === undefined) throw new SkipError('the layout holds no image')
      return () => image.push(`${registry.host}/bench:1`, { concurrency: kAtOnce })
    },
  }
}

function skopeoPush({ layout }: TransferImage): Contender {
  return {
    name: kPushNames.skopeo,
    needs: ['skopeo'],
    prepare: async (trial) => {
      const { host } = await startEmptyRegistry(trial)
      return () =>
        requireSuccess('skopeo', ['copy', '--quiet', ...kPlain, `oci:${layout}:x`, `docker://${host}/bench:1`])
    },
  }
}

/** Without containers prepared ahead, which would be made while the clock runs and serve nobody. */
async function openEngine(trial: Trial): Promise<Engine> {
  const engine = await Engine.open({ root: join(trial.directory, 'root'), prepared: 0 })
  trial.defer(() => engine.close())
  return engine
}

/** A registry for one push, which has none of the blobs before it and must have the image after it. */
async function startEmptyRegistry(trial: Trial): Promise<BenchRegistry> {
  const registry = await BenchRegistry.start(join(trial.directory, 'registry'))
  trial.defer(() => registry.close())
  const repositories = await registry.repositories()
  if (repositories.length > 0) throw new Error(`the registry has ${repositories.join(', ')} beforehand`)
  trial.defer(async () => {
    const pushed = await registry.repositories()
    if (!pushed.includes('bench')) throw new Error('the registry has no image after the push')
  })
  return registry
}
