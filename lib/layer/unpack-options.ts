// SPDX-License-Identifier: MIT
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { knowsAllIds } from '../host/facts.ts'
import type { OwnerMap } from './entry-metadata.ts'
import type { GrowingFile } from './growing-file.ts'
import { checkLayerLimits, type LayerLimits } from './limits.ts'
import type { UnpackStreamOptions } from './unpack-stream.ts'

export interface UnpackLayerOptions {
  /**
   * A tar archive, plain or compressed by gzip or zstd: a file's path, a file that is still being downloaded, or a stream,
   * which is read to its end. A {@link GrowingFile} stays the caller's to close.
   */
  source: string | Readable | GrowingFile
  /** Names the layer in errors, for example its digest. */
  layer: string
  /** Must not exist; its parent must. Complete when the promise resolves; the caller renames it into place. */
  targetDir: string
  /** @default kDefaultLayerLimits */
  limits?: Partial<LayerLimits> | undefined
  signal?: AbortSignal | undefined
  /** `sha256:…` of the bytes of `source`. */
  expectedDigest?: string | undefined
  /** `sha256:…` of the archive, uncompressed. */
  expectedDiffId?: string | undefined
  /**
   * `preserve` keeps the archive's owners, which takes root; `current-user` gives all files to the caller and leaves devices
   * out. @default `preserve` as root of a host, `current-user` as anybody else, root of a user namespace included
   */
  ownerMap?: OwnerMap | undefined
  /**
   * Whether the files are on the disk when the promise resolves, so that a layer which is renamed into place afterwards
   * is whole even after a power cut. Takes about as long as unpacking on a disk that is not faster. @default true
   */
  durable?: boolean | undefined
}

/**
 * @param ownerMap what `options` has by default
 * @throws {InvalidOptionError} for a limit that is unknown or no number.
 */
export function checkUnpackOptions(options: UnpackLayerOptions, ownerMap: OwnerMap): UnpackStreamOptions {
  return {
    layer: options.layer,
    targetDir: resolve(options.targetDir),
    limits: checkLayerLimits('limits', options.limits),
    ownerMap: options.ownerMap ?? ownerMap,
    expectedDigest: options.expectedDigest,
    expectedDiffId: options.expectedDiffId,
    durable: options.durable ?? true,
  }
}

/**
 * Whose files of layers are to be here. Root of a user namespace cannot give files to whom the namespace does not know, and maps
 * one id into its containers: it does as an ordinary user, also where more of the archive's owners could be kept.
 */
export async function chooseOwnerMap(): Promise<OwnerMap> {
  return process.geteuid?.() === 0 && (await knowsAllIds()) ? 'preserve' : 'current-user'
}
