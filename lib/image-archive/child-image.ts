// SPDX-License-Identifier: MIT
import type { PackResult } from '../layer/pack-layer.ts'
import { digestOf } from '../oci/digest.ts'
import { type Descriptor, type ImageConfig, kMediaType } from '../oci/image-config.ts'
import type { CommitOptions } from './commit.ts'
import { kLayerType } from './recompress.ts'

/** Makes the manifest and the configuration of an image that has a layer, or a change of its configuration, more than another. */
export function makeChildImage(
  options: CommitOptions,
  packed: PackResult | undefined,
): { manifest: Buffer; mediaType: string; config: Buffer } {
  const { parent, layer } = options
  const config = Buffer.from(JSON.stringify(childConfig(options, packed)))
  const layers = parent?.manifest.layers.map(toOci) ?? []
  if (packed !== undefined) {
    const mediaType = kLayerType[layer?.compression ?? 'gzip']
    layers.push({ mediaType, digest: packed.digest, size: packed.sizeBytes })
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: kMediaType.manifest,
    config: { mediaType: kMediaType.config, digest: digestOf(config), size: config.byteLength },
    layers,
  }
  return { manifest: Buffer.from(JSON.stringify(manifest)), mediaType: kMediaType.manifest, config }
}

function childConfig(options: CommitOptions, packed: PackResult | undefined): ImageConfig {
  const { parent, comment, createdBy } = options
  const created = options.created.toISOString()
  const author = options.author ?? parent?.config.author
  const { os, architecture, variant } = parent?.config ?? options.platform
  const changes = Object.entries(options.config ?? {}).filter(([, value]) => value !== undefined)
  return {
    created,
    ...(author === undefined ? {} : { author }),
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    config: { ...parent?.config.config, ...Object.fromEntries(changes) },
    rootfs: {
      type: 'layers',
      diff_ids: [...(parent?.config.rootfs.diff_ids ?? []), ...(packed === undefined ? [] : [packed.diffId])],
    },
    history: [
      ...(parent?.config.history ?? []),
      {
        created,
        ...(createdBy === undefined ? {} : { created_by: createdBy }),
        ...(options.author === undefined ? {} : { author: options.author }),
        ...(comment === undefined ? {} : { comment }),
        ...(packed === undefined ? { empty_layer: true } : {}),
      },
    ],
  }
}

/** The same blob in the words of the format that the new manifest has. */
function toOci({ mediaType, digest, size, annotations }: Descriptor): Descriptor {
  const isDocker = mediaType === kMediaType.dockerLayerGzip
  return {
    mediaType: isDocker ? kMediaType.layerGzip : mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations }),
  }
}
