// SPDX-License-Identifier: MIT
import { NotFoundError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import {
  type Descriptor,
  type ImageManifest,
  kMaxConfigBytes,
  kMaxManifestBytes,
  kMediaType,
} from '../oci/image-config.ts'
import { kAnnotation } from '../store/image-index.ts'
import { blobsOf, type StoredImage } from '../store/image-store.ts'
import { removeTree } from '../store/remove-tree.ts'
import type { Store } from '../store/store.ts'
import { blobsOfManifests, type StoredDocument } from '../store/whole-index.ts'
import { blobName } from './image-source.ts'
import { compressionOf, type LayerCompression, recompress } from './recompress.ts'
import { bytesMember, fileMember } from './save-member.ts'
import type { TarMember } from './tar-writer.ts'

/** An image to be written, with the index that it came with where all of that is wanted. */
export interface SavedImage {
  readonly image: StoredImage
  /** Manifests and indexes below the index, and last itself; `undefined` for the image alone. */
  readonly index: readonly StoredDocument[] | undefined
}

/** All blobs that saving an image reads. */
export function blobsToSave({ image, index }: SavedImage): Digest[] {
  if (index === undefined) return blobsOf(image)
  return [...index, ...blobsOfManifests(index)].map((blob) => blob.digest)
}

/**
 * Gives the members of an OCI layout: blobs in the order of the images, then index.json and oci-layout. An archive has
 * `manifest.json` too, as `docker save` writes it since version 25: Docker without containerd's store knows only that, and podman takes images with
 * several names only from there.
 *
 * @param isArchive - not a folder.
 * @param compression - of layers, of images without an index; with `undefined` blobs and manifests stay as they are. A layer that is packed another way gets its
 *   image a new manifest, in OCI's form; the configuration, and with it the image's id, stays.
 * @source https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export async function* ociMembers(
  store: Store,
  images: readonly SavedImage[],
  compression: LayerCompression | undefined,
  isArchive: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<TarMember> {
  const writer = new OciWriter(store, compression, signal)
  const algorithms = new Set(['sha256', ...images.flatMap(blobsToSave).map(digestAlgorithm)])
  yield { kind: 'directory', name: 'blobs' }
  for (const algorithm of [...algorithms].sort()) yield { kind: 'directory', name: `blobs/${algorithm}` }
  const manifests: Descriptor[] = []
  const entries: DockerEntry[] = []
  for (const { image, index } of images) {
    if (index === undefined) {
      const { descriptor, layers } = yield* writer.image(image)
      manifests.push(...named(descriptor, image))
      entries.push(dockerEntry(image, layers))
    } else {
      manifests.push(...named(yield* writer.wholeIndex(index), image))
      entries.push(dockerEntry(image, image.manifest.layers))
    }
  }
  const index = { schemaVersion: 2, mediaType: kMediaType.index, manifests }
  yield bytesMember('index.json', Buffer.from(JSON.stringify(index)))
  yield bytesMember('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'))
  if (isArchive) yield bytesMember('manifest.json', Buffer.from(JSON.stringify(entries)))
}

/** An image in `manifest.json`. */
interface DockerEntry {
  readonly Config: string
  readonly RepoTags: readonly string[] | null
  readonly Layers: readonly string[]
}

function dockerEntry({ id, references }: StoredImage, layers: readonly Descriptor[]): DockerEntry {
  const tags = references.length === 0 ? null : references
  return { Config: blobName(id), RepoTags: tags, Layers: layers.map(({ digest }) => blobName(digest)) }
}

// One descriptor a name, each with the full name: skopeo and podman choose by ref.name, containerd by the other.
// No platform: several entries without name that say their platform would be one image for several platforms.
function named(descriptor: Descriptor, { references }: StoredImage): Descriptor[] {
  if (references.length === 0) return [descriptor]
  return references.map((reference) => ({
    ...descriptor,
    annotations: { [kAnnotation.refName]: reference, [kAnnotation.imageName]: reference },
  }))
}

class OciWriter {
  readonly #store: Store
  readonly #compression: LayerCompression | undefined
  readonly #signal: AbortSignal | undefined
  readonly #written = new Set<Digest>()
  readonly #repacked = new Map<Digest, Descriptor>()

  constructor(store: Store, compression: LayerCompression | undefined, signal: AbortSignal | undefined) {
    this.#store = store
    this.#compression = compression
    this.#signal = signal
  }

  async *image(image: StoredImage): AsyncGenerator<TarMember, { descriptor: Descriptor; layers: Descriptor[] }> {
    const layers: Descriptor[] = []
    for (const [position, layer] of image.manifest.layers.entries()) {
      layers.push(yield* this.#layer(layer, image.config.rootfs.diff_ids[position]))
    }
    yield* this.#bytes(image.id, await this.#store.blobs.read(image.id, kMaxConfigBytes))
    const isSame = layers.every((layer, position) => layer.digest === image.manifest.layers[position]?.digest)
    const bytes = isSame
      ? await this.#store.blobs.read(image.digest, kMaxManifestBytes)
      : rewrite(image.manifest, layers)
    const digest = isSame ? image.digest : digestOf(bytes)
    yield* this.#bytes(digest, bytes)
    const mediaType = isSame ? image.mediaType : kMediaType.manifest
    return { descriptor: { mediaType, digest, size: bytes.byteLength }, layers }
  }

  /** As it is: another packing of a layer would be another index. */
  async *wholeIndex(documents: readonly StoredDocument[]): AsyncGenerator<TarMember, Descriptor> {
    for (const { digest, size } of blobsOfManifests(documents)) {
      if (this.#claim(digest)) yield fileMember(blobName(digest), this.#store.blobs.path(digest), size)
    }
    let last: Descriptor | undefined
    for (const { digest, mediaType, bytes } of documents) {
      yield* this.#bytes(digest, bytes)
      last = { mediaType, digest, size: bytes.byteLength }
    }
    if (last === undefined) throw new NotFoundError('The index of the image is not in the store.')
    return last
  }

  async *#layer(layer: Descriptor, diffId: Digest | undefined): AsyncGenerator<TarMember, Descriptor> {
    const known = this.#repacked.get(layer.digest)
    if (known !== undefined) return known
    const source = this.#store.blobs.path(layer.digest)
    const compression = this.#compression
    if (compression === undefined || diffId === undefined || (await compressionOf(source)) === compression) {
      if (this.#claim(layer.digest)) yield fileMember(blobName(layer.digest), source, layer.size)
      return layer
    }
    // One such file at a time: a member's size stands before its bytes.
    const target = this.#store.session.tmpPath('repacked')
    try {
      const packed = await recompress({ source, target, diffId, compression, signal: this.#signal })
      const { annotations } = layer
      const descriptor = { ...packed, ...(annotations === undefined ? {} : { annotations }) }
      this.#repacked.set(layer.digest, descriptor)
      if (this.#claim(packed.digest)) yield fileMember(blobName(packed.digest), target, packed.size)
      return descriptor
    } finally {
      await removeTree(target)
    }
  }

  *#bytes(digest: Digest, bytes: Uint8Array): Generator<TarMember> {
    if (this.#claim(digest)) yield bytesMember(blobName(digest), bytes)
  }

  #claim(digest: Digest): boolean {
    const isNew = !this.#written.has(digest)
    this.#written.add(digest)
    return isNew
  }
}

function rewrite(manifest: ImageManifest, layers: readonly Descriptor[]): Buffer {
  const config = { ...manifest.config, mediaType: kMediaType.config }
  const typed = layers.map((layer) => ({ ...layer, mediaType: ociLayerType(layer.mediaType) }))
  return Buffer.from(JSON.stringify({ ...manifest, mediaType: kMediaType.manifest, config, layers: typed }))
}

function ociLayerType(mediaType: string): string {
  return mediaType === kMediaType.dockerLayerGzip ? kMediaType.layerGzip : mediaType
}
