import { IntegrityError, LayerError } from '../errors.ts'
import { type Digest, digestAlgorithm, digestHex, verifyDigest } from '../oci/digest.ts'
import type { Descriptor, ImageConfig, Platform } from '../oci/image-config.ts'
import { readBounded } from '../store/blob-store.ts'
import type { ArchiveFile, ArchiveFiles } from './archive-files.ts'

/** One image found in an archive: its documents are verified, its layers are not read yet. */
export interface ImageSource {
  readonly manifest: Uint8Array
  readonly mediaType: string
  readonly config: Uint8Array
  readonly parsedConfig: ImageConfig
  /** Oldest first. */
  readonly layers: readonly LayerSource[]
  /** Canonical references. */
  readonly references: readonly string[]
  /** What an index says that it is for; its configuration may say otherwise. */
  readonly platform?: Platform | undefined
  /** The index that it was chosen from. */
  readonly index?: Uint8Array | undefined
}

/** A layer's blob in an archive. */
export interface LayerSource {
  readonly digest: Digest
  readonly diffId: Digest
  readonly file: ArchiveFile
}

/** Member name of a blob in an OCI layout. */
export function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** Finds a blob of an OCI layout and compares its size. @throws {LayerError} when absent. @throws {IntegrityError} */
export async function findBlob(files: ArchiveFiles, descriptor: Descriptor): Promise<ArchiveFile> {
  const name = blobName(descriptor.digest)
  const file = await files.find(name)
  if (file === undefined) throw new LayerError(files.label, name, 'is not in the archive, though the image needs it')
  if (file.sizeBytes !== descriptor.size) {
    throw new IntegrityError(`Size of ${name} in ${files.label}`, String(descriptor.size), String(file.sizeBytes))
  }
  return file
}

/** Reads a small blob of an OCI layout and verifies it. */
export async function readBlob(files: ArchiveFiles, descriptor: Descriptor, maxBytes: number): Promise<Buffer> {
  const file = await findBlob(files, descriptor)
  const bytes = await readBounded(file.path, maxBytes, descriptor.digest)
  verifyDigest(descriptor.digest, bytes, `${blobName(descriptor.digest)} in ${files.label}`)
  return bytes
}

/** Pairs layers with the diff ids of the configuration. @throws {LayerError} when there are more of one than of the other. */
export function diffIdAt(label: string, config: ImageConfig, layerCount: number, position: number): Digest {
  const ids = config.rootfs.diff_ids
  const diffId = ids[position]
  if (ids.length !== layerCount || diffId === undefined) {
    throw new LayerError(
      label,
      undefined,
      `the image has ${layerCount} layers, but its configuration names ${ids.length}`,
    )
  }
  return diffId
}
