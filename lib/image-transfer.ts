// SPDX-License-Identifier: MIT
import { arch } from 'node:process'
import type { RegistryAuth } from './distribution/credentials.ts'
import type { Engine } from './engine.ts'
import { InvalidOptionError } from './errors.ts'
import { Reference } from './oci/reference.ts'
import { checkBoolean, checkNumber, checkObject, checkString, checkWord } from './options/checks.ts'
import { platformOption } from './options/image-options.ts'
import type { StoredImage } from './store/image-store.ts'
import type { PullPolicy, PullProgress } from './transfer/pull.ts'
import type { PushProgress, PushResult } from './transfer/push.ts'

const kDefaultConcurrency = 3
const kMaxConcurrency = 32

/** What pulling and pushing have in common. */
interface TransferOptions {
  /**
   * Who asks, for this call: `{ username, password }`, an OAuth2 `{ identityToken }`, a bearer `{ registryToken }`, or `'anonymous'`.
   *
   * @default what the engine was opened with, then what is stored on this machine: Docker's config.json and its helpers, podman's
   *   auth.json
   */
  auth?: RegistryAuth | undefined
  /** Accepts certificates that nobody verified, and plain http. @default as the engine was opened; true for this machine itself */
  insecure?: boolean | undefined
  /** PEM of certificate authorities that are trusted besides the usual. @default as the engine was opened */
  ca?: string | Buffer | undefined
  /** Layers at a time, 1 to 32. @default 3 */
  concurrency?: number | undefined
  /**
   * Aborting stops the work and rejects with `signal.reason`. Bytes that were downloaded stay, and the next pull goes on from them;
   * what other pulls of this process are downloading too goes on for them.
   */
  signal?: AbortSignal | undefined
}

/** Options of {@link Image.pull}. */
export interface ImagePullOptions extends TransferOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  /** Which image to take where there are several, such as `linux/arm64/v8`. @default this host's, or whatever is in the store */
  platform?: string | undefined
  /**
   * `missing` asks the registry when the store has no such image; `always` asks whether the tag has moved; `never` asks nobody.
   *
   * @default 'missing'
   */
  policy?: PullPolicy | undefined
  /**
   * Brings the images for all other platforms too, without unpacking them, so that `push({ allPlatforms: true })` can send everything
   * that the name stands for.
   *
   * @default false
   */
  allPlatforms?: boolean | undefined
  onProgress?: ((progress: PullProgress) => void) | undefined
}

/** Options of {@link Image.push}. */
export interface ImagePushOptions extends TransferOptions {
  /**
   * Pushes the index that the image came with, and the images for all platforms that it names, which must be in the store. An image
   * that came without one is pushed alone.
   *
   * @default false
   */
  allPlatforms?: boolean | undefined
  onProgress?: ((progress: PushProgress) => void) | undefined
}

const kTransferNames = ['auth', 'insecure', 'ca', 'concurrency', 'signal', 'onProgress', 'allPlatforms'] as const

/** @throws {InvalidOptionError} @throws {InvalidReferenceError} before anything is touched. */
export function checkPullOptions(
  reference: unknown,
  options: ImagePullOptions,
): (engine: Engine) => Promise<StoredImage> {
  checkObject('', options, ['engine', 'platform', 'policy', ...kTransferNames])
  const request = {
    reference: Reference.parse(checkString('reference', reference)),
    platform: platformOption(options.platform, arch),
    isPlatformGiven: options.platform !== undefined,
    policy: checkWord('policy', options.policy, ['missing', 'always', 'never']),
    allPlatforms: checkBoolean('allPlatforms', options.allPlatforms, false),
    concurrency: checkConcurrency(options.concurrency),
    signal: options.signal,
    onProgress: options.onProgress,
  }
  const { auth, insecure, ca } = options
  return (engine) => engine.transfers.pull(request, { auth, insecure, ca })
}

/** @throws {InvalidOptionError} @throws {InvalidReferenceError} before anything is touched. */
export function checkPushOptions(
  reference: unknown,
  image: StoredImage,
  options: ImagePushOptions,
): (engine: Engine) => Promise<PushResult> {
  checkObject('', options, kTransferNames)
  const request = {
    reference: pushReference(reference, image),
    allPlatforms: checkBoolean('allPlatforms', options.allPlatforms, false),
    concurrency: checkConcurrency(options.concurrency),
    signal: options.signal,
    onProgress: options.onProgress,
  }
  const { auth, insecure, ca } = options
  return (engine) => engine.transfers.push(image, request, { auth, insecure, ca })
}

function checkConcurrency(value: unknown): number {
  return checkNumber('concurrency', value, { min: 1, max: kMaxConcurrency, integer: true }) ?? kDefaultConcurrency
}

/** The name to push to: what was given, or the only one that the image has. */
function pushReference(given: unknown, image: StoredImage): Reference {
  const tags = image.references.filter((text) => !text.includes('@'))
  const [only, ...others] = tags
  if (given === undefined && (only === undefined || others.length > 0)) {
    const expected =
      tags.length === 0 ? 'a name, as the image has none' : `one of the image's names: ${tags.join(', ')}`
    throw new InvalidOptionError('reference', expected, given)
  }
  const text = given === undefined ? only : given
  const reference = Reference.parse(checkString('reference', text))
  if (reference.digest === undefined || reference.digest === image.digest || reference.digest === image.indexDigest)
    return reference
  throw new InvalidOptionError('reference', `a name without digest, or with the image's own, ${image.digest}`, text)
}
