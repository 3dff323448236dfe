import * as v from 'valibot'
import { LayerError } from '../errors.ts'
import { type Digest, isDigest } from './digest.ts'

/** Media types of OCI images, and of Docker's schema 2 before them. */
export const kMediaType = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layerTar: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const

/** Indexes may name indexes, so deep at most. */
export const kMaxIndexDepth = 4
/** Largest manifest or index that is read, in bytes; registries use the same limit. */
export const kMaxManifestBytes = 4 * 1024 * 1024
/** Largest image configuration that is read, in bytes. */
export const kMaxConfigBytes = 8 * 1024 * 1024
/** Most names in a list of images. */
export const kMaxListed = 100_000
/** Largest list of images of a store, in bytes: room for so many long names. */
export const kMaxListBytes = 64 * 1024 * 1024
/** Values in one document from elsewhere, about: parsing that many takes a fraction of a second, and blocks everything else. */
const kMaxValues = 131_072
/** Longest name of a system, a processor or the like. */
const kMaxPlatformLength = 128

const digestSchema = v.pipe(
  v.string(),
  v.check((text) => isDigest(text), 'must be a sha256 or sha512 digest'),
  v.transform((text) => text as Digest),
)
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const textMapSchema = v.record(v.string(), v.string())
const textListSchema = v.array(v.string())
const emptyMapSchema = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform(
    (map) => Object.fromEntries(Object.keys(map).map((key) => [key, {}])) as Record<string, Record<string, never>>,
  ),
)

// It gets into the store's list of images, which has to stay small.
const platformNameSchema = v.pipe(v.string(), v.maxLength(kMaxPlatformLength))
const platformSchema = v.object({
  os: v.optional(platformNameSchema, ''),
  architecture: v.optional(platformNameSchema, ''),
  variant: v.optional(platformNameSchema),
  'os.version': v.optional(platformNameSchema),
})

const descriptorSchema = v.object({
  mediaType: v.optional(v.string(), ''),
  digest: digestSchema,
  size: sizeSchema,
  annotations: v.optional(textMapSchema),
  platform: v.optional(platformSchema),
  artifactType: v.optional(v.string()),
})

const manifestSchema = v.object({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  config: descriptorSchema,
  layers: v.pipe(v.array(descriptorSchema), v.maxLength(1024)),
  annotations: v.optional(textMapSchema),
})

const indexSchema = v.object({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  manifests: v.pipe(v.array(descriptorSchema), v.maxLength(kMaxListed)),
  annotations: v.optional(textMapSchema),
})

const durationNanosSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const kRuntimeConfigEntries = {
  User: v.optional(v.string()),
  ExposedPorts: v.optional(emptyMapSchema),
  Env: v.optional(textListSchema),
  Entrypoint: v.optional(textListSchema),
  Cmd: v.optional(textListSchema),
  Volumes: v.optional(emptyMapSchema),
  WorkingDir: v.optional(v.string()),
  Labels: v.optional(textMapSchema),
  StopSignal: v.optional(v.string()),
  Shell: v.optional(textListSchema),
  OnBuild: v.optional(textListSchema),
  Healthcheck: v.optional(
    v.object({
      Test: v.optional(textListSchema),
      Interval: v.optional(durationNanosSchema),
      Timeout: v.optional(durationNanosSchema),
      StartPeriod: v.optional(durationNanosSchema),
      StartInterval: v.optional(durationNanosSchema),
      Retries: v.optional(sizeSchema),
    }),
  ),
}
/** What a container gets from its image. */
export const runtimeConfigSchema = v.object(kRuntimeConfigEntries)
const strictRuntimeConfigSchema = v.strictObject(kRuntimeConfigEntries)

const imageConfigSchema = v.object({
  architecture: v.optional(platformNameSchema, ''),
  os: v.optional(platformNameSchema, ''),
  variant: v.optional(platformNameSchema),
  created: v.optional(v.string()),
  author: v.optional(v.string()),
  config: v.optional(runtimeConfigSchema, {}),
  rootfs: v.object({
    type: v.literal('layers'),
    diff_ids: v.optional(v.pipe(v.array(digestSchema), v.maxLength(1024)), []),
  }),
  history: v.optional(
    v.array(
      v.object({
        created: v.optional(v.string()),
        created_by: v.optional(v.string()),
        author: v.optional(v.string()),
        comment: v.optional(v.string()),
        empty_layer: v.optional(v.boolean()),
      }),
    ),
    [],
  ),
})

/** Operating system and processor an image is for, in Go's words (`linux`, `amd64`). */
export type Platform = v.InferOutput<typeof platformSchema>
/** Points to content by digest. @source https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md */
export type Descriptor = v.InferOutput<typeof descriptorSchema>
/** @source https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md */
export type ImageManifest = v.InferOutput<typeof manifestSchema>
/** @source https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md */
export type ImageIndex = v.InferOutput<typeof indexSchema>
/** What a container gets from its image unless it says otherwise (`Env`, `Cmd`, …), in the standard's spelling. */
export type ImageRuntimeConfig = v.InferOutput<typeof runtimeConfigSchema>
/** @source https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md */
export type ImageConfig = v.InferOutput<typeof imageConfigSchema>

/** Parses an image manifest (OCI or Docker schema 2). @throws {LayerError} naming `what` and the field. */
export function parseManifest(bytes: Uint8Array, what: string): ImageManifest {
  return parseDocument(manifestSchema, bytes, what, kMaxManifestBytes)
}

/** Parses an image index or manifest list. @throws {LayerError} naming `what` and the field. */
export function parseIndex(bytes: Uint8Array, what: string): ImageIndex {
  return parseDocument(indexSchema, bytes, what, kMaxManifestBytes)
}

/** Parses the store's own list of images, which may be longer than what registries send. @throws {LayerError} */
export function parseImageList(bytes: Uint8Array, what: string): ImageIndex {
  return parseDocument(indexSchema, bytes, what, kMaxListBytes, Number.POSITIVE_INFINITY)
}

/** Parses an image configuration. @throws {LayerError} naming `what` and the field. */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  return parseDocument(imageConfigSchema, bytes, what, kMaxConfigBytes)
}

/**
 * Checks a runtime configuration that came from a caller; unlike one from an image, unknown fields are faults.
 *
 * @returns the configuration, or the path of the first field that does not fit, what it should be, and what it is.
 */
export function checkRuntimeConfig(
  value: unknown,
): { config: ImageRuntimeConfig } | { field: string; expected: string; received: unknown } {
  const result = v.safeParse(strictRuntimeConfigSchema, value)
  if (result.success) return { config: result.output }
  const issue = result.issues[0]
  const expected = kTypeWords[issue.expected ?? ''] ?? issue.expected ?? 'another value'
  return { field: v.getDotPath(issue) ?? '', expected, received: issue.input }
}

/** What valibot calls the kinds of values, in the words of option errors. */
const kTypeWords: Readonly<Record<string, string>> = {
  Array: 'an array of strings',
  Object: 'an object',
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  never: 'a field of the image specification',
}

/** Names of the fields of a runtime configuration. */
export const kRuntimeConfigFields: readonly string[] = Object.keys(kRuntimeConfigEntries)

/** Tells whether a media type is that of an index (OCI index or Docker manifest list). */
export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === kMediaType.index || mediaType === kMediaType.dockerIndex
}

/** Tells whether a media type is that of an image manifest (OCI or Docker schema 2). */
export function isManifestMediaType(mediaType: string): boolean {
  return mediaType === kMediaType.manifest || mediaType === kMediaType.dockerManifest
}

/** The layer media type that fits a blob's first bytes: gzip, zstd or plain tar. */
export function layerMediaType(firstBytes: Uint8Array): string {
  if (firstBytes[0] === 0x1f && firstBytes[1] === 0x8b) return kMediaType.layerGzip
  const zstd = firstBytes[0] === 0x28 && firstBytes[1] === 0xb5 && firstBytes[2] === 0x2f && firstBytes[3] === 0xfd
  return zstd ? kMediaType.layerZstd : kMediaType.layerTar
}

function parseDocument<S extends v.GenericSchema>(
  schema: S,
  bytes: Uint8Array,
  what: string,
  maxBytes: number,
  maxValues = kMaxValues,
): v.InferOutput<S> {
  if (bytes.byteLength > maxBytes) {
    throw new LayerError(what, undefined, `is ${bytes.byteLength} bytes long; at most ${maxBytes} are read`)
  }
  const result = v.safeParse(schema, parseJson(bytes, what, maxValues), { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  throw new LayerError(what, undefined, `field '${v.getDotPath(issue) ?? ''}' is not valid: ${issue.message}`)
}

/** Parses JSON from an image; `null` fields count as absent, as Go programs write them so. The text never enters an error. */
export function parseJson(bytes: Uint8Array, what: string, maxValues = kMaxValues): unknown {
  if (hasMoreValues(bytes, maxValues)) throw new LayerError(what, undefined, `has more than ${maxValues} values`)
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    dropNulls(json)
    return json
  } catch {
    // Without a cause: Node's error has some of the text, and a link in a layout may lead to any file.
    throw new LayerError(what, undefined, 'is not JSON in UTF-8')
  }
}

/** Counts what begins a value or stands between two; in texts too, so that it is an upper bound. */
function hasMoreValues(bytes: Uint8Array, maxValues: number): boolean {
  if (bytes.byteLength <= maxValues) return false
  let count = 0
  for (let i = 0; i < bytes.byteLength; i++) {
    const byte = bytes[i]
    if (byte === 0x2c || byte === 0x5b || byte === 0x7b) count++
  }
  return count > maxValues
}

/** Takes the fields away that are `null`. Not by a reviver, which takes many times as long as the parsing. */
function dropNulls(json: unknown): void {
  const pending: unknown[] = [json]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === 'object') pending.push(item)
      continue
    }
    for (const [key, field] of Object.entries(value)) {
      if (field === null) delete (value as Record<string, unknown>)[key]
      else if (typeof field === 'object') pending.push(field)
    }
  }
}
