import { InvalidOptionError } from '../errors.ts'
import type { Descriptor, Platform } from './image-config.ts'

const kArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', arm: 'arm', arm64: 'arm64' }
const kMachineNames: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64', i386: '386' }

/** The platform of images for a host, from `process.arch`. */
export function hostPlatform(nodeArch: string): Platform {
  return { os: 'linux', architecture: kArchitectures[nodeArch] ?? nodeArch }
}

/** Parses `linux/arm64/v8`, `linux/amd64` or `arm64`. @throws {InvalidOptionError} */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw new InvalidOptionError('platform', `'<os>/<architecture>[/<variant>]'`, text)
  }
  const [os, architecture, variant] = parts.length === 1 ? ['linux', parts[0]] : parts
  const name = architecture ?? ''
  return { os: os ?? 'linux', architecture: kMachineNames[name] ?? name, ...(variant === undefined ? {} : { variant }) }
}

/** `linux/arm64/v8`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant]
    .filter((part) => part !== undefined && part !== '')
    .join('/')
}

/**
 * Picks the descriptor for a platform: same system and architecture; the wanted variant first, then one without variant,
 * then (for arm) the highest lower one, then, where no variant was wanted, whichever comes first.
 *
 * @returns `undefined` where none fits.
 */
export function selectPlatform(descriptors: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const fitting = descriptors.filter(
    (d) => d.platform?.os === wanted.os && d.platform.architecture === wanted.architecture,
  )
  const variant = normalVariant(wanted)
  const exact = fitting.find((d) => d.platform !== undefined && normalVariant(d.platform) === variant)
  if (exact !== undefined) return exact
  const lower = fitting
    .filter((d) => variant !== undefined && (d.platform?.variant ?? 'v0') < variant)
    .sort((a, b) => ((a.platform?.variant ?? 'v0') < (b.platform?.variant ?? 'v0') ? 1 : -1))
  return lower[0] ?? (wanted.variant === undefined ? fitting[0] : undefined)
}

// arm64 has one variant in practice, and 32-bit arm without variant means v7.
function normalVariant(platform: Platform): string | undefined {
  if (platform.architecture === 'arm64' && platform.variant === 'v8') return undefined
  if (platform.architecture === 'arm' && platform.variant === undefined) return 'v7'
  return platform.variant
}

/** Tells whether an image that says it is for `offered` is what was asked for. */
export function fitsPlatform(offered: Platform, wanted: Platform): boolean {
  const platform = { ...offered, variant: offered.variant === '' ? undefined : offered.variant }
  return selectPlatform([{ platform } as Descriptor], wanted) !== undefined
}
