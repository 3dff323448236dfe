// SPDX-License-Identifier: MIT
import { stat } from 'node:fs/promises'
import { type Digest, digestHex, digestOf } from '../oci/digest.ts'
import { type ImageConfig, kMaxConfigBytes } from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import type { StoredImage } from '../store/image-store.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { compressionOf, recompress } from './recompress.ts'
import { bytesMember, fileMember } from './save-member.ts'
import type { TarMember } from './tar-writer.ts'

/** Fixed, as times of files in such archives: same image, same bytes. */
const kLegacyCreated = '1970-01-01T00:00:00Z'

/**
 * Gives the members of what `docker save` wrote before it wrote OCI layouts: plain tars of layers, configurations, manifest.json, and
 * for Docker before 1.10 a directory per layer and `repositories`.
 *
 * @source https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md
 */
export async function* dockerMembers(
  store: Store,
  images: readonly StoredImage[],
  signal: AbortSignal | undefined,
): AsyncGenerator<TarMember> {
  const written = new Set<string>()
  const manifest: { Config: string; RepoTags: string[] | null; Layers: string[] }[] = []
  const repositories: Record<string, Record<string, string>> = {}
  for (const image of images) {
    const diffIds = image.config.rootfs.diff_ids
    for (const [position, diffId] of diffIds.entries()) {
      if (!claim(written, diffId)) continue
      const digest = image.manifest.layers[position]?.digest
      if (digest !== undefined) yield* layerTar(store, digest, diffId, signal)
    }
    const top = yield* legacyLayers(image.id, image.config, written)
    const config = `${digestHex(image.id)}.json`
    if (claim(written, config)) yield bytesMember(config, await store.blobs.read(image.id, kMaxConfigBytes))
    const references = image.references.map((reference) => Reference.parse(reference))
    for (const { tag = 'latest', ...reference } of references.map(shortNameAndTag)) {
      if (top !== undefined) repositories[reference.name] = { ...repositories[reference.name], [tag]: top }
    }
    // In full: podman takes a short name for one of localhost/. Docker before 1.10, which reads the other file, knows short ones only.
    const tags = references.map((reference) => reference.toString())
    manifest.push({ Config: config, RepoTags: tags.length === 0 ? null : tags, Layers: diffIds.map(layerName) })
  }
  yield bytesMember('manifest.json', Buffer.from(JSON.stringify(manifest)))
  yield bytesMember('repositories', Buffer.from(JSON.stringify(repositories)))
}

function layerName(diffId: Digest): string {
  return `${digestHex(diffId)}.tar`
}

function shortNameAndTag(reference: Reference): { name: string; tag: string | undefined } {
  const short = reference.toShortString()
  return { name: short.slice(0, short.length - `:${reference.tag ?? ''}`.length), tag: reference.tag }
}

function claim(written: Set<string>, name: string): boolean {
  const isNew = !written.has(name)
  written.add(name)
  return isNew
}

async function* layerTar(
  store: Store,
  digest: Digest,
  diffId: Digest,
  signal: AbortSignal | undefined,
): AsyncGenerator<TarMember> {
  const source = store.blobs.path(digest)
  if ((await compressionOf(source)) === 'none') {
    yield fileMember(layerName(diffId), source, (await stat(source)).size)
    return
  }
  // One such file at a time: a member's size stands before its bytes.
  const target = store.session.tmpPath('plain')
  try {
    const { size } = await recompress({ source, target, diffId, compression: 'none', signal })
    yield fileMember(layerName(diffId), target, size)
  } finally {
    await removeTree(target)
  }
}

/** Directories of layers, for Docker before 1.10. @returns the name of the topmost. */
async function* legacyLayers(
  id: Digest,
  config: ImageConfig,
  written: Set<string>,
): AsyncGenerator<TarMember, string | undefined> {
  const diffIds = config.rootfs.diff_ids
  let parent: string | undefined
  for (const [position, diffId] of diffIds.entries()) {
    const isTop = position === diffIds.length - 1
    const own: string = digestHex(digestOf(JSON.stringify([diffId, parent ?? null, isTop ? id : null])))
    const { os, architecture, created = kLegacyCreated, author } = config
    const details = isTop
      ? { created, author, os, architecture, config: config.config }
      : { created: kLegacyCreated, container_config: { Cmd: [''] } }
    if (claim(written, own)) {
      yield { kind: 'directory', name: own }
      yield bytesMember(`${own}/VERSION`, Buffer.from('1.0'))
      yield bytesMember(`${own}/json`, Buffer.from(JSON.stringify({ id: own, parent, ...details })))
      yield { kind: 'symlink', name: `${own}/layer.tar`, target: `../${layerName(diffId)}` }
    }
    parent = own
  }
  return parent
}
