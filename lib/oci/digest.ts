import { createHash, type Hash } from 'node:crypto'
import { IntegrityError, InvalidReferenceError } from '../errors.ts'

/** A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`, lower case. Made by {@link parseDigest} or {@link digestOf}. */
export type Digest = `${DigestAlgorithm}:${string}` & { readonly ' digest': true }

/** Hash functions that a digest may name. */
export type DigestAlgorithm = 'sha256' | 'sha512'

const kHexLength: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 }

/**
 * Parses a digest string.
 *
 * @throws {InvalidReferenceError} when the algorithm is unknown, or the hex part has another length or upper-case letters.
 * @source https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests
 */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':')
  if (colon === -1) throw new InvalidReferenceError(text, text.length, 'a digest has the form sha256:<hex>')
  const algorithm = text.slice(0, colon)
  if (algorithm !== 'sha256' && algorithm !== 'sha512') {
    throw new InvalidReferenceError(text, 0, 'the digest algorithm must be sha256 or sha512')
  }
  const hex = text.slice(colon + 1)
  const bad = hex.search(/[^0-9a-f]/)
  if (bad !== -1) throw new InvalidReferenceError(text, colon + 1 + bad, 'a digest has only the characters 0-9 and a-f')
  if (hex.length !== kHexLength[algorithm]) {
    const reason = `a ${algorithm} digest has ${kHexLength[algorithm]} hex characters, not ${hex.length}`
    throw new InvalidReferenceError(text, text.length, reason)
  }
  return text as Digest
}

/** Tells whether `text` is a digest that {@link parseDigest} accepts. */
export function isDigest(text: string): text is Digest {
  return /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)
}

/** The algorithm's name, left of the colon. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The hex part, right of the colon. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Digest of bytes that are in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return finishDigest(createHash(algorithm).update(bytes), algorithm)
}

/** Turns a finished hash into a digest. The hash cannot be used afterwards. */
export function finishDigest(hash: Hash, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest
}

/**
 * Checks bytes against the digest that was announced for them.
 *
 * @param what - names the bytes in the message, such as `manifest`.
 * @throws {IntegrityError} when they differ.
 */
export function verifyDigest(expected: Digest, bytes: Uint8Array, what: string): void {
  const actual = digestOf(bytes, digestAlgorithm(expected))
  if (actual !== expected) throw new IntegrityError(what, expected, actual)
}
