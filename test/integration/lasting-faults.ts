// SPDX-License-Identifier: MIT
// What registries can do to every request, and how a pull must end then.
import {
  IntegrityError,
  NotFoundError,
  RegistryAuthError,
  RegistryError,
  TimeoutError,
  type WherryError,
} from '../../lib/errors.ts'
import type { Digest } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import type { Fault } from '../helpers/faulty-proxy.ts'
import type { RawManifest } from './pull-fixtures.ts'

/** A fault for all requests of a path, and how the pull must end. */
export interface LastingFault {
  readonly path: RegExp
  readonly fault: Fault
  readonly errorClass: new (...args: never[]) => WherryError
  readonly message: RegExp
  /** Most bytes of bodies that the requests of that path may take from the server altogether. */
  readonly maxBytes: number
}

/** What a server can have sent that the client never reads: the buffers of two sockets. */
const kInFlightBytes = 8 * 1024 ** 2
const kManifestLimitBytes = 4 * 1024 ** 2
const kHugeBytes = 10 * 1024 ** 3

/**
 * @param large - digest of the image's large layer.
 * @param stallTimeoutMs - of the client, which tries again twice.
 */
export function lastingFaults(
  manifest: RawManifest,
  large: Digest,
  stallTimeoutMs: number,
): Record<string, LastingFault> {
  return {
    ...contentFaults(manifest, large),
    ...manifestFaults(stallTimeoutMs),
    ...answerFaults(new RegExp(`blobs/${large}`), large, stallTimeoutMs),
  }
}

/** Blobs that are something else. */
function contentFaults({ config, layers }: RawManifest, large: Digest): Record<string, LastingFault> {
  const path = new RegExp(`blobs/${large}`)
  const size = layers.find((layer) => layer.digest === large)?.size ?? 0
  const fault = (kind: Fault, maxBytes: number, ...texts: string[]): LastingFault => {
    return { path, fault: kind, errorClass: IntegrityError, message: says(...texts), maxBytes }
  }
  const endless = { kind: 'endless', bytes: kHugeBytes } as const
  const isExpected = `expected ${size} bytes, got`
  return {
    'another layer': fault({ kind: 'wrong-digest' }, size, `expected ${large}, got sha256:`),
    'another configuration': {
      path: new RegExp(`blobs/${config.digest}`),
      fault: { kind: 'wrong-digest' },
      errorClass: IntegrityError,
      message: says(`Blob ${config.digest} of`, `does not match: expected ${config.digest}, got sha256:`),
      maxBytes: config.size,
    },
    'a layer that is too short': fault({ kind: 'short-body', bytes: 1000 }, 1000, `${isExpected} 1000 bytes`),
    'a layer that is too long, and says so': fault(endless, kInFlightBytes, `${isExpected} ${kHugeBytes} bytes`),
    'a layer that does not end': fault(
      { ...endless, silent: true },
      size + kInFlightBytes,
      `${isExpected} more than ${size} bytes`,
    ),
    'a layer that inflates on the way': fault({ kind: 'gzip-bomb', inflatedBytes: 2 ** 26 }, 1024 ** 2, isExpected),
  }
}

function manifestFaults(stallTimeoutMs: number): Record<string, LastingFault> {
  const path = /manifests/
  const contentType = kMediaType.manifest
  const endless = { kind: 'endless', bytes: kHugeBytes, contentType } as const
  const isTooLong = says(`sent more than ${kManifestLimitBytes} bytes, which is the most that is read`)
  const base = { path, errorClass: RegistryError }
  return {
    'another manifest': {
      path,
      fault: { kind: 'wrong-digest' },
      errorClass: IntegrityError,
      message: /^Manifest 1 of \S+ does not match: expected sha256:\w+, got sha256:/,
      maxBytes: 10_000,
    },
    'a manifest of 10 GB': { ...base, fault: endless, message: isTooLong, maxBytes: kInFlightBytes },
    'a manifest of 10 GB that does not say so': {
      ...base,
      fault: { ...endless, silent: true },
      message: isTooLong,
      maxBytes: kManifestLimitBytes + kInFlightBytes,
    },
    'a manifest that inflates': {
      ...base,
      fault: { kind: 'gzip-bomb', inflatedBytes: 2 ** 26, contentType },
      message: says(`sent gzip that is broken or longer than ${kManifestLimitBytes} bytes`),
      maxBytes: 1024 ** 2,
    },
    'a manifest that drips': {
      path,
      fault: { kind: 'drip', chunkBytes: 1, everyMs: 50 },
      errorClass: TimeoutError,
      message: says('Getting manifest 1 of', `took longer than ${10 * stallTimeoutMs} ms`),
      maxBytes: 1000,
    },
    'redirects of a manifest for ever': {
      ...base,
      fault: { kind: 'redirect', to: 'loop' },
      message: /^Cannot get 1 of \S+: .* redirects more than 10 times/,
      maxBytes: 0,
    },
  }
}

/** Answers without a blob. */
function answerFaults(path: RegExp, digest: Digest, stallTimeoutMs: number): Record<string, LastingFault> {
  const fault = (
    kind: Fault,
    message: RegExp,
    errorClass: LastingFault['errorClass'] = RegistryError,
    maxBytes = 0,
  ): LastingFault => ({ path, fault: kind, errorClass, message, maxBytes })
  const redirect = (to: string, message: RegExp): LastingFault => fault({ kind: 'redirect', to }, message)
  const isCut = /failed with (?:UND_ERR_SOCKET|ECONNRESET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)/
  const isMissing = says(`Blob ${digest} of`, 'does not exist')
  const tooMany: Fault = { kind: 'status', status: 429, headers: { 'retry-after': '3600' } }
  return {
    'redirects of a layer for ever': redirect('loop', /redirects more than 10 times/),
    'a redirect to the metadata service': redirect(
      'http://169.254.169.254/latest',
      /may not direct requests to its link or a metadata service \(169\.254\.169\.254\)/,
    ),
    'a redirect to a file': redirect('file:///etc/passwd', /points to a location that is no plain URL/),
    'errors of the server for ever': fault({ kind: 'status', status: 502 }, /answered 502/),
    'too many requests for an hour': fault(tooMany, /answered 429.*Hint: the registry limits requests/),
    'a refusal': fault({ kind: 'status', status: 403 }, /answered 403/, RegistryAuthError),
    'a layer that is not there': fault({ kind: 'status', status: 404 }, isMissing, NotFoundError),
    'silence for ever': fault({ kind: 'stall', afterBytes: 0 }, says(`stalled: no byte came for ${stallTimeoutMs} ms`)),
    'a cut at every attempt': fault({ kind: 'cut', afterBytes: 1000 }, isCut, RegistryError, 10_000),
  }
}

/** A message with these texts in this order. */
function says(...texts: string[]): RegExp {
  return new RegExp(texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'))
}
