// SPDX-License-Identifier: MIT
// The ways to get an image from a registry, and to bring one there. Each trial has a directory of its own.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Engine, Image } from '../lib/index.ts'
import { requireSuccess } from './command.ts'
import { BenchRegistry } from './registry.ts'

/** An image to be pulled and pushed. */
export interface TransferImage {
  readonly name: string
  /** In a registry. */
  readonly reference: string
  /** In an OCI layout, in skopeo's words. */
  readonly layout: string
  /** Its layers, oldest first. */
  readonly blobs: readonly string[]
}

/** One trial: what is timed, and what has to be done before and after it. */
export interface TransferTrial {
  readonly run: () => Promise<void>
  readonly after?: () => Promise<void>
}

/** Prepares a trial in an empty directory. */
export type TransferSubject = (image: TransferImage, directory: string) => Promise<TransferTrial>

const kPlain = ['--src-tls-verify=false', '--dest-tls-verify=false']

/** From a registry to files that a container can run on. */
export const kPullSubjects: ReadonlyMap<string, TransferSubject> = new Map<string, TransferSubject>([
  ['wherry pull', wherryPull],
  ['podman pull', podmanPull],
  ['skopeo copy, umoci unpack', skopeoUmoci],
  ['GNU tar of the layers', tarOnly],
  ['GNU tar of the layers, synced', tarSynced],
])

/** From a store to a registry that has nothing. */
export const kPushSubjects: ReadonlyMap<string, TransferSubject> = new Map<string, TransferSubject>([
  ['wherry push', wherryPush],
  ['skopeo copy', skopeoPush],
])

async function wherryPull({ reference }: TransferImage, directory: string): Promise<TransferTrial> {
  const engine = await Engine.open({ root: join(directory, 'root'), prepared: 0 })
  return {
    run: async () => {
      await Image.pull(reference, { engine })
    },
    after: () => engine.close(),
  }
}

async function podmanPull({ reference }: TransferImage, directory: string): Promise<TransferTrial> {
  await mkdir(join(directory, 'tmp'))
  const places = ['--root', join(directory, 'storage'), '--runroot', join(directory, 'run')]
  const common = [...places, '--tmpdir', join(directory, 'tmp'), '--events-backend', 'none']
  const env = { ...process.env, TMPDIR: join(directory, 'tmp') }
  const podman = async (...args: string[]): Promise<void> => {
    await requireSuccess('podman', [...common, ...args], { env })
  }
  return {
    run: () => podman('pull', '--quiet', '--tls-verify=false', reference),
    after: () => podman('system', 'reset', '--force'),
  }
}

async function skopeoUmoci({ reference }: TransferImage, directory: string): Promise<TransferTrial> {
  const layout = join(directory, 'layout')
  return {
    run: async () => {
      await requireSuccess('skopeo', ['copy', '--quiet', ...kPlain, `docker://${reference}`, `oci:${layout}:x`])
      await requireSuccess('umoci', ['raw', 'unpack', '--image', `${layout}:x`, join(directory, 'rootfs')])
    },
  }
}

async function tarOnly({ blobs }: TransferImage, directory: string): Promise<TransferTrial> {
  return {
    run: async () => {
      for (const [position, blob] of blobs.entries()) {
        const target = join(directory, String(position))
        await mkdir(target)
        await requireSuccess('tar', ['--numeric-owner', '--xattrs', '-xzpf', blob, '-C', target])
      }
    },
  }
}

async function tarSynced(image: TransferImage, directory: string): Promise<TransferTrial> {
  const { run } = await tarOnly(image, directory)
  return {
    run: async () => {
      await run()
      await requireSuccess('sync', ['-f', directory])
    },
  }
}

async function wherryPush({ layout }: TransferImage, directory: string): Promise<TransferTrial> {
  const registry = await BenchRegistry.start(join(directory, 'registry'))
  const engine = await Engine.open({ root: join(directory, 'root'), prepared: 0 })
  const [image] = await Image.load(layout.replace(/^oci:|:[^:/]*$/g, ''), { engine })
  return {
    run: async () => {
      await image?.push(`${registry.host}/bench:1`)
    },
    after: async () => {
      await engine.close()
      await registry.close()
    },
  }
}

async function skopeoPush({ layout }: TransferImage, directory: string): Promise<TransferTrial> {
  const registry = await BenchRegistry.start(join(directory, 'registry'))
  return {
    run: async () => {
      await requireSuccess('skopeo', ['copy', '--quiet', ...kPlain, layout, `docker://${registry.host}/bench:1`])
    },
    after: () => registry.close(),
  }
}
