// SPDX-License-Identifier: MIT
// What the tests of pull and push share: images in a registry, made by other tools than ours.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Engine } from '../../lib/engine.ts'
import type { Digest } from '../../lib/oci/digest.ts'
import { type DockerRegistry, startDockerRegistry } from '../helpers/docker-registry.ts'
import { type FaultyProxy, startFaultyProxy } from '../helpers/faulty-proxy.ts'
import { needs } from '../helpers/needs.ts'
import { makeOciLayout, makeRootfs, packTar, run, tempDir } from './image-fixtures.ts'

/** Whether the host has what it takes; see {@link needs}. */
export function needsRegistry(t: TestContext): boolean {
  return needs(t, 'command:docker-registry', 'command:skopeo', 'command:umoci', 'command:busybox')
}

/** A manifest's parts that tests look at. */
export interface RawManifest {
  config: { digest: Digest; size: number }
  layers: { digest: Digest; size: number; mediaType: string }[]
}

/** A registry with the image `demo:1` of two layers. */
export interface Seeded extends DockerRegistry {
  readonly dir: string
  readonly layout: string
  readonly reference: string
}

/** Starts a registry and pushes `demo:1` with skopeo. */
export async function seedRegistry(t: TestContext): Promise<Seeded> {
  const dir = await tempDir(t)
  const [registry, layout] = await Promise.all([startDockerRegistry(t), makeOciLayout(dir)])
  await skopeoPush(`oci:${layout}:demo`, `${registry.host}/demo:1`)
  return { ...registry, dir, layout, reference: `${registry.host}/demo:1` }
}

/** A registry with the image `large:1`, and a proxy in front of it. */
export interface SeededLarge {
  readonly dir: string
  /** Of the registry itself. */
  readonly host: string
  readonly proxy: FaultyProxy
  /** `large:1`, through the proxy. */
  readonly reference: string
  readonly manifest: RawManifest
  /** Digest of the largest layer. */
  readonly large: Digest
}

/** Starts a registry and a proxy, and pushes `large:1`: busybox and layers of random bytes. */
export async function seedLarge(t: TestContext, layerBytes: readonly number[]): Promise<SeededLarge> {
  const dir = await tempDir(t)
  const [{ host }, image] = await Promise.all([startDockerRegistry(t), makeLargeImage(dir, layerBytes)])
  await skopeoPush(`oci:${image}`, `${host}/large:1`)
  const proxy = await startFaultyProxy(t, host)
  const { manifest } = await rawManifest(`${host}/large:1`)
  const [largest] = [...manifest.layers].sort((a, b) => b.size - a.size)
  assert.ok(largest !== undefined)
  return { dir, host, proxy, reference: `${proxy.host}/large:1`, manifest, large: largest.digest }
}

export async function skopeoPush(source: string, reference: string, ...flags: string[]): Promise<void> {
  await run('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', ...flags, source, `docker://${reference}`)
}

/** What the registry itself has under a name, byte for byte. */
export async function rawManifest(reference: string): Promise<{ text: string; manifest: RawManifest }> {
  const text = await run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`)
  return { text, manifest: JSON.parse(text) as RawManifest }
}

/** Makes an OCI layout of busybox and layers of random bytes, which compress to nothing less. @returns the image in it. */
export async function makeLargeImage(dir: string, layerBytes: readonly number[]): Promise<string> {
  const work = join(dir, `large-${randomBytes(4).toString('hex')}`)
  await mkdir(work)
  const layout = join(work, 'layout')
  const image = `${layout}:large`
  await run('umoci', 'init', '--layout', layout)
  await run('umoci', 'new', '--image', image)
  const rootfs = await packTar(await makeRootfs(work), join(work, 'rootfs.tar'))
  await run('umoci', 'raw', 'add-layer', '--image', image, rootfs)
  for (const [position, bytes] of layerBytes.entries()) {
    const name = `data-${position}`
    await mkdir(join(work, name))
    await writeFile(join(work, name, 'bytes'), randomBytes(bytes))
    const tar = await packTar(work, join(work, `${name}.tar`), `./${name}`)
    await run('umoci', 'raw', 'add-layer', '--image', image, tar)
  }
  await run('umoci', 'config', '--image', image, '--config.cmd', '/bin/sh', '--architecture', 'amd64')
  return image
}

/** Checks that nothing is wrong with the store, and that no download and no lock file of one is left. */
export async function assertSound(engine: Engine, partial: readonly string[] = []): Promise<void> {
  await engine.store.idle()
  assert.deepEqual((await engine.verify()).faults, [])
  assert.deepEqual((await namesOf(engine, 'partial')).sort(), [...partial].sort())
  assert.deepEqual(
    (await namesOf(engine, 'locks')).filter((name) => name.startsWith('blob-')),
    [],
  )
}

/** Names of blobs and layers, which a failed pull must not leave. */
export async function contentOf(engine: Engine): Promise<string[]> {
  await engine.store.idle()
  return [...(await namesOf(engine, 'oci/blobs/sha256')), ...(await namesOf(engine, 'layers'))]
}

export async function namesOf(engine: Engine, folder: string): Promise<string[]> {
  return readdir(join(engine.root, folder)).catch(() => [])
}
