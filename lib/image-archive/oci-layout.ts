import { LayerError, PlatformError } from '../errors.ts'
import {
  type Descriptor,
  isIndexMediaType,
  isManifestMediaType,
  kMaxConfigBytes,
  kMaxIndexDepth,
  kMaxManifestBytes,
  kMediaType,
  type Platform,
  parseImageConfig,
  parseIndex,
  parseJson,
  parseManifest,
} from '../oci/image-config.ts'
import { formatPlatform, selectPlatform } from '../oci/platform.ts'
import { Reference } from '../oci/reference.ts'
import { type ArchiveFiles, readMember } from './archive-files.ts'
import { diffIdAt, findBlob, type ImageSource, type LayerSource, readBlob } from './image-source.ts'

const kRefName = 'org.opencontainers.image.ref.name'
const kImageName = 'io.containerd.image.name'

/** Tells whether the files are an OCI image layout. */
export async function isOciLayout(files: ArchiveFiles): Promise<boolean> {
  return (await files.find('oci-layout')) !== undefined && (await files.find('index.json')) !== undefined
}

/**
 * Reads the images of an OCI image layout. An index inside is searched for the platform; entries of index.json that share a name
 * (or have none) and say their platform are one image for several platforms.
 *
 * @throws {LayerError} @throws {IntegrityError} @throws {PlatformError}
 * @source https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
export async function readOciLayout(files: ArchiveFiles, platform: Platform): Promise<ImageSource[]> {
  await checkVersion(files)
  const index = parseIndex(await readMember(files, 'index.json', kMaxManifestBytes), `${files.label}, index.json,`)
  const sources = new Map<string, ImageSource>()
  for (const descriptor of chooseEntries(files.label, index.manifests.filter(isImage), platform)) {
    const manifest = await resolveManifest(files, descriptor, platform, 0)
    const source = await readImage(files, manifest, referencesOf(descriptor))
    if (source === undefined) continue
    const isIndex = isIndexMediaType(descriptor.mediaType)
    const index = isIndex ? { index: await readBlob(files, descriptor, kMaxManifestBytes) } : {}
    const known = sources.get(manifest.digest)
    const references = [...new Set([...(known?.references ?? []), ...source.references])]
    sources.set(manifest.digest, { ...known, ...source, platform: manifest.platform, ...index, references })
  }
  if (sources.size === 0) throw new LayerError(files.label, 'index.json', 'names no image')
  return [...sources.values()]
}

async function checkVersion(files: ArchiveFiles): Promise<void> {
  const layout = parseJson(await readMember(files, 'oci-layout', 64 * 1024), `${files.label}, oci-layout,`)
  const version = (layout as { imageLayoutVersion?: unknown } | undefined)?.imageLayoutVersion
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw new LayerError(files.label, 'oci-layout', 'has an imageLayoutVersion other than 1')
  }
}

// Build tools put attestations beside the images, with a platform of "unknown".
function isImage(descriptor: Descriptor): boolean {
  if (descriptor.platform?.os === 'unknown' || descriptor.annotations?.['vnd.docker.reference.type'] !== undefined)
    return false
  return (
    descriptor.mediaType === '' || isIndexMediaType(descriptor.mediaType) || isManifestMediaType(descriptor.mediaType)
  )
}

function chooseEntries(label: string, descriptors: readonly Descriptor[], platform: Platform): Descriptor[] {
  const groups = new Map<string, Descriptor[]>()
  for (const descriptor of descriptors) {
    const name = nameOf(descriptor) ?? ''
    groups.set(name, [...(groups.get(name) ?? []), descriptor])
  }
  return [...groups].flatMap(([name, group]) => {
    const perPlatform = group.filter((d) => d.platform !== undefined)
    const others = group.filter((d) => d.platform === undefined)
    // A single image is taken whatever it is for: it may run under emulation.
    if (group.length === 1 || perPlatform.length === 0) return group
    return [pick(name === '' ? label : name, perPlatform, platform), ...others]
  })
}

async function resolveManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
  platform: Platform,
  depth: number,
): Promise<Descriptor> {
  if (!isIndexMediaType(descriptor.mediaType)) return descriptor
  if (depth >= kMaxIndexDepth) throw new LayerError(files.label, descriptor.digest, 'has indexes nested too deep')
  const index = parseIndex(await readBlob(files, descriptor, kMaxManifestBytes), descriptor.digest)
  const images = index.manifests.filter(isImage)
  const nested = images.find((d) => d.platform === undefined && isIndexMediaType(d.mediaType))
  const only = images.length === 1 && images[0]?.platform === undefined ? images[0] : undefined
  const chosen =
    only ?? selectPlatform(images, platform) ?? nested ?? pick(nameOf(descriptor) ?? files.label, images, platform)
  return resolveManifest(files, chosen, platform, depth + 1)
}

function pick(name: string, descriptors: readonly Descriptor[], platform: Platform): Descriptor {
  const chosen = selectPlatform(descriptors, platform)
  if (chosen !== undefined) return chosen
  const available = descriptors.flatMap((d) => (d.platform === undefined ? [] : [formatPlatform(d.platform)]))
  throw new PlatformError(name, formatPlatform(platform), available)
}

/** @returns `undefined` for an artifact that is no image. */
async function readImage(
  files: ArchiveFiles,
  descriptor: Descriptor,
  references: string[],
): Promise<ImageSource | undefined> {
  const bytes = await readBlob(files, descriptor, kMaxManifestBytes)
  const manifest = parseManifest(bytes, descriptor.digest)
  const configType = manifest.config.mediaType
  if (configType !== kMediaType.config && configType !== kMediaType.dockerConfig) return undefined
  const config = await readBlob(files, manifest.config, kMaxConfigBytes)
  const parsedConfig = parseImageConfig(config, manifest.config.digest)
  const layers: LayerSource[] = []
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = diffIdAt(files.label, parsedConfig, manifest.layers.length, position)
    layers.push({ digest: layer.digest, diffId, file: await findBlob(files, layer) })
  }
  const listed = descriptor.mediaType === '' ? kMediaType.manifest : descriptor.mediaType
  return { manifest: bytes, mediaType: manifest.mediaType ?? listed, config, parsedConfig, layers, references }
}

function nameOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[kImageName] ?? descriptor.annotations?.[kRefName]
}

/** Names that are references. A bare word in `ref.name` is a tag without repository by the specification: it names nothing. */
function referencesOf(descriptor: Descriptor): string[] {
  const imageName = descriptor.annotations?.[kImageName]
  const refName = descriptor.annotations?.[kRefName]
  const name = imageName ?? (refName !== undefined && /[/:]/.test(refName) ? refName : undefined)
  if (name === undefined) return []
  try {
    return [Reference.parse(name).toString()]
  } catch {
    return []
  }
}
