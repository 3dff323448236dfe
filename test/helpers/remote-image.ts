// SPDX-License-Identifier: MIT

import type { Repository } from '../../lib/distribution/repository.ts'
import { type Digest, digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'

/** A blob with its descriptor, and the function that {@link Repository.pushBlob} wants. */
export interface TestBlob {
  readonly bytes: Buffer
  readonly descriptor: { readonly digest: Digest; readonly size: number }
  readonly open: (offset: number) => AsyncIterable<Uint8Array>
}

/** A blob of so many bytes that no gzip makes smaller and that are the same each time. */
export function makeBlob(size: number, seed = 1): TestBlob {
  const bytes = Buffer.alloc(size)
  let state = seed
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[i] = state >>> 24
  }
  return blobOf(bytes)
}

export function blobOf(bytes: Buffer): TestBlob {
  async function* open(offset: number): AsyncGenerator<Uint8Array> {
    for (let at = offset; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024)
  }
  return { bytes, descriptor: { digest: digestOf(bytes), size: bytes.length }, open }
}

/** Pushes an image of one layer, whose bytes are no tar. */
export async function pushTestImage(
  repository: Repository,
  tag: string,
  layer = makeBlob(300_000),
): Promise<{ digest: Digest; manifest: Buffer; layer: TestBlob; config: TestBlob }> {
  const config = blobOf(
    Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } })),
  )
  for (const blob of [config, layer]) await repository.pushBlob(blob.descriptor, blob.open)
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: kMediaType.manifest,
      config: { mediaType: kMediaType.config, ...config.descriptor },
      layers: [{ mediaType: kMediaType.layerTar, ...layer.descriptor }],
    }),
  )
  const digest = await repository.pushManifest(tag, manifest, kMediaType.manifest)
  return { digest, manifest, layer, config }
}

/** Everything a stream gives. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
