import * as v from 'valibot'
import { LayerError } from '../errors.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import {
  type Descriptor,
  kMaxConfigBytes,
  kMaxManifestBytes,
  kMediaType,
  layerMediaType,
  parseImageConfig,
  parseJson,
} from '../oci/image-config.ts'
import { Reference } from '../oci/reference.ts'
import { digestFile } from '../store/digest-file.ts'
import { type ArchiveFile, type ArchiveFiles, findMember, firstBytes, readMember } from './archive-files.ts'
import { diffIdAt, type ImageSource, type LayerSource } from './image-source.ts'

const kMaxLayers = 1024

const manifestSchema = v.array(
  v.object({
    Config: v.string(),
    RepoTags: v.optional(v.array(v.string()), []),
    Layers: v.optional(v.pipe(v.array(v.string()), v.maxLength(kMaxLayers)), []),
  }),
)
const repositoriesSchema = v.record(v.string(), v.record(v.string(), v.string()))
const legacyLayerSchema = v.looseObject({
  parent: v.optional(v.string()),
  os: v.optional(v.string(), 'linux'),
  architecture: v.optional(v.string(), 'amd64'),
  created: v.optional(v.string()),
  author: v.optional(v.string()),
  config: v.optional(v.record(v.string(), v.unknown()), {}),
  container_config: v.optional(v.looseObject({ Cmd: v.optional(v.array(v.string())) })),
  throwaway: v.optional(v.boolean()),
})

/**
 * Reads the images of a `docker save` archive: manifest.json, or before Docker 1.10 `repositories` alone. Such an archive has no
 * manifests, so they are made here, in OCI's form; the configuration, and with it the image's id, stays as it is.
 *
 * @throws {LayerError} @throws {InvalidReferenceError} for a bad tag.
 * @source https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md
 */
export async function readDockerArchive(files: ArchiveFiles): Promise<ImageSource[]> {
  if ((await files.find('manifest.json')) === undefined) return readLegacyArchive(files)
  const bytes = await readMember(files, 'manifest.json', kMaxManifestBytes)
  const sources: ImageSource[] = []
  for (const item of check(
    manifestSchema,
    parseJson(bytes, `${files.label}, manifest.json,`),
    files,
    'manifest.json',
  )) {
    const config = await readMember(files, item.Config, kMaxConfigBytes)
    const members: ArchiveFile[] = []
    for (const name of item.Layers) members.push(await findMember(files, name))
    const references = item.RepoTags.map((tag) => Reference.parse(tag).toString())
    sources.push(await assemble(files, config, members, references))
  }
  if (sources.length === 0) throw new LayerError(files.label, 'manifest.json', 'names no image')
  return sources
}

async function readLegacyArchive(files: ArchiveFiles): Promise<ImageSource[]> {
  if ((await files.find('repositories')) === undefined) {
    const hint = 'for a root file system without image, use Image.import()'
    const reason = 'it is no image archive: there is no oci-layout, no manifest.json and no repositories in it'
    throw new LayerError(files.label, undefined, reason, { hint })
  }
  const bytes = await readMember(files, 'repositories', kMaxManifestBytes)
  const repositories = check(
    repositoriesSchema,
    parseJson(bytes, `${files.label}, repositories,`),
    files,
    'repositories',
  )
  const tagsByTop = new Map<string, string[]>()
  for (const [name, tags] of Object.entries(repositories)) {
    for (const [tag, top] of Object.entries(tags)) {
      tagsByTop.set(top, [...(tagsByTop.get(top) ?? []), Reference.parse(`${name}:${tag}`).toString()])
    }
  }
  const sources: ImageSource[] = []
  for (const [top, references] of tagsByTop) {
    const chain = await readLegacyChain(files, top)
    const config = await legacyConfig(chain)
    sources.push(
      await assemble(
        files,
        config,
        chain.map((layer) => layer.file),
        references,
      ),
    )
  }
  return sources
}

type LegacyLayer = v.InferOutput<typeof legacyLayerSchema> & { file: ArchiveFile }

/** Follows `parent` from the newest layer. @returns the layers, oldest first. */
async function readLegacyChain(files: ArchiveFiles, top: string): Promise<LegacyLayer[]> {
  const chain: LegacyLayer[] = []
  const seen = new Set<string>()
  for (let id: string | undefined = top; id !== undefined && id !== ''; ) {
    if (seen.has(id) || chain.length >= kMaxLayers)
      throw new LayerError(files.label, id, 'has a chain of parents without end')
    seen.add(id)
    const name: string = `${id}/json`
    const json = parseJson(await readMember(files, name, kMaxConfigBytes), `${files.label}, ${name},`)
    const layer: v.InferOutput<typeof legacyLayerSchema> = check(legacyLayerSchema, json, files, name)
    chain.unshift({ ...layer, file: await findMember(files, `${id}/layer.tar`) })
    id = layer.parent
  }
  return chain
}

async function legacyConfig(chain: readonly LegacyLayer[]): Promise<Uint8Array> {
  const top = chain.at(-1)
  const diffIds: Digest[] = []
  // These archives hold plain tars, so a layer's digest is its diff id; unpacking verifies it.
  for (const layer of chain) diffIds.push(await sha256Of(layer.file))
  const history = chain.map((layer) => ({
    ...(layer.created === undefined ? {} : { created: layer.created }),
    created_by: layer.container_config?.Cmd?.join(' ') ?? '',
  }))
  const { os, architecture, created, author, config } = top ?? {}
  const rootfs = { type: 'layers', diff_ids: diffIds }
  return Buffer.from(JSON.stringify({ architecture, os, created, author, config, rootfs, history }))
}

async function assemble(
  files: ArchiveFiles,
  config: Uint8Array,
  members: readonly ArchiveFile[],
  references: readonly string[],
): Promise<ImageSource> {
  const parsedConfig = parseImageConfig(config, `${files.label}, image configuration,`)
  const layers: LayerSource[] = []
  const descriptors: Descriptor[] = []
  for (const [position, file] of members.entries()) {
    const digest = await sha256Of(file)
    layers.push({ digest, diffId: diffIdAt(files.label, parsedConfig, members.length, position), file })
    descriptors.push({ mediaType: layerMediaType(await firstBytes(file.path, 4)), digest, size: file.sizeBytes })
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: kMediaType.manifest,
    config: { mediaType: kMediaType.config, digest: digestOf(config), size: config.byteLength },
    layers: descriptors,
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  return { manifest: bytes, mediaType: kMediaType.manifest, config, parsedConfig, layers, references }
}

async function sha256Of(file: ArchiveFile): Promise<Digest> {
  return file.sha256 ?? digestFile(file.path, 'sha256')
}

function check<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  files: ArchiveFiles,
  name: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  throw new LayerError(files.label, name, `field '${v.getDotPath(issue) ?? ''}' is not valid: ${issue.message}`)
}
