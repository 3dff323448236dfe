// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import { type Digest, isDigest } from '../oci/digest.ts'
import { kMediaType } from '../oci/image-config.ts'
import { RequestError } from './errors.ts'

const kArtifactManifest = 'application/vnd.oci.artifact.manifest.v1+json'
/** Layers that are fetched from elsewhere; a registry need not have them. */
const kForeignLayer = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/

const kImageTypes: readonly string[] = [kMediaType.manifest, kMediaType.dockerManifest]
const kIndexTypes: readonly string[] = [kMediaType.index, kMediaType.dockerIndex]

const descriptorSchema = v.looseObject({
  mediaType: v.optional(v.string(), ''),
  digest: v.custom<Digest>(
    (value) => typeof value === 'string' && isDigest(value),
    'must be a sha256 or sha512 digest',
  ),
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
})

const documentSchema = v.looseObject({
  schemaVersion: v.optional(v.number()),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  config: v.optional(descriptorSchema),
  layers: v.optional(v.array(descriptorSchema)),
  manifests: v.optional(v.array(descriptorSchema)),
  blobs: v.optional(v.array(descriptorSchema)),
  subject: v.optional(descriptorSchema),
  annotations: v.optional(v.record(v.string(), v.string())),
})
type Document = v.InferOutput<typeof documentSchema>

/** A digest that a manifest refers to, with the size it announces in bytes. */
export interface ReferredContent {
  digest: Digest
  size: number
}

/** What a registry needs to know of a manifest. */
export interface ManifestContent {
  mediaType: string
  /** Blobs that the repository must have. */
  blobs: ReferredContent[]
  /** Manifests (or blobs, as build caches do) that an index lists. */
  children: ReferredContent[]
  subject: Digest | undefined
  /** As listed among the referrers of the subject. */
  artifactType: string | undefined
  annotations: Record<string, string> | undefined
}

/**
 * Reads a manifest or index of OCI, or of Docker's schema 2.
 *
 * @param contentType - as the client sent it; `undefined` to rely on the document.
 * @throws {RequestError} MANIFEST_INVALID
 */
export function parseManifestContent(bytes: Uint8Array, contentType: string | undefined): ManifestContent {
  const document = parseDocument(bytes)
  const mediaType = findMediaType(document, contentType?.split(';', 1)[0]?.trim().toLowerCase())
  checkShape(document, mediaType)
  const { config, layers = [], manifests = [], blobs = [], subject, annotations } = document
  const local = layers.filter((layer) => !kForeignLayer.test(layer.mediaType))
  const needed = [...(config === undefined ? [] : [config]), ...local, ...blobs]
  return {
    mediaType,
    blobs: unique(needed),
    children: unique(manifests),
    subject: subject?.digest,
    artifactType: document.artifactType || config?.mediaType || undefined,
    annotations,
  }
}

function parseDocument(bytes: Uint8Array): Document {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw invalid('the manifest is not JSON')
  }
  const parsed = v.safeParse(documentSchema, json)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  throw invalid(`the manifest is malformed at ${v.getDotPath(issue) ?? 'its top'}: ${issue.message}`)
}

function findMediaType(document: Document, contentType: string | undefined): string {
  if (document.mediaType !== undefined) {
    if (contentType !== undefined && contentType !== document.mediaType) {
      throw invalid(`the manifest says ${document.mediaType}, the request ${contentType}`)
    }
    return document.mediaType
  }
  const inferred = document.manifests === undefined ? kMediaType.manifest : kMediaType.index
  // Docker's documents always name their type; those of OCI may leave it out.
  if (contentType !== undefined && contentType !== inferred && contentType !== 'application/json') {
    throw invalid(`the manifest has no mediaType, and its content is not ${contentType}`)
  }
  return inferred
}

/** A document that reads as an image to one client and as an index to another must not exist (CVE-2021-41190). */
function checkShape(document: Document, mediaType: string): void {
  const { config, layers, manifests, blobs, schemaVersion } = document
  const isImage = kImageTypes.includes(mediaType)
  const isIndex = kIndexTypes.includes(mediaType)
  if (!isImage && !isIndex && mediaType !== kArtifactManifest) throw invalid(`${mediaType} is not supported`)
  if (mediaType === kArtifactManifest ? (config ?? layers ?? manifests) : 'fsLayers' in document || blobs) {
    throw invalid(`the manifest has fields that do not belong to ${mediaType}`)
  }
  if ((isImage || isIndex) && schemaVersion !== 2) throw invalid('schemaVersion must be 2')
  if (isImage && (config === undefined || layers === undefined || manifests !== undefined)) {
    throw invalid('an image manifest has config and layers, and no manifests')
  }
  if (isIndex && (manifests === undefined || config !== undefined || layers !== undefined)) {
    throw invalid('an index has manifests, and neither config nor layers')
  }
}

function unique(descriptors: readonly ReferredContent[]): ReferredContent[] {
  return [...new Map(descriptors.map(({ digest, size }) => [digest, { digest, size }])).values()]
}

function invalid(message: string): RequestError {
  return new RequestError('MANIFEST_INVALID', message)
}
