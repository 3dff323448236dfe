// SPDX-License-Identifier: MIT
import { ConflictError, InvalidReferenceError, NotFoundError } from '../errors.ts'
import { type Digest, digestHex, isDigest } from '../oci/digest.ts'
import { Reference } from '../oci/reference.ts'
import type { IndexEntry } from './image-index.ts'

/**
 * Finds an image by reference, by the digest of its configuration (its id), manifest or index, or by at least four characters of
 * its id.
 *
 * @throws {NotFoundError} @throws {ConflictError} when the start of an id fits several. @throws {InvalidReferenceError}
 */
export function findEntry(entries: readonly IndexEntry[], name: string): IndexEntry {
  const entry = isDigest(name) ? findByDigest(entries, name) : findByName(entries, name)
  if (entry !== undefined) return entry
  throw new NotFoundError(
    `Image ${JSON.stringify(name)} is not in the store.`,
    'Image.list() shows what is there; Image.pull() gets an image from its registry.',
  )
}

// A manifest's digest first: several manifests may have one configuration, or come from one index.
function findByDigest(entries: readonly IndexEntry[], digest: Digest): IndexEntry | undefined {
  const find = (fits: (entry: IndexEntry) => boolean): IndexEntry | undefined => entries.find(fits)
  return find((e) => e.digest === digest) ?? find((e) => e.id === digest) ?? find((e) => e.index === digest)
}

function findByName(entries: readonly IndexEntry[], name: string): IndexEntry | undefined {
  const byId = /^[0-9a-f]{4,64}$/.test(name) ? entries.filter((e) => hexOf(e.id).startsWith(name)) : []
  const reference = parseUnlessId(name, byId.length > 0)
  const canonical = reference?.toString()
  const byTag = entries.find((e) => canonical !== undefined && e.references.includes(canonical))
  if (byTag !== undefined) return byTag
  if (reference?.digest !== undefined) return findByDigest(entries, reference.digest)
  if (new Set(byId.map((e) => e.id)).size > 1) {
    throw new ConflictError(`Several images have an id that starts with ${name}.`, 'give more characters of the id')
  }
  return byId[0]
}

function parseUnlessId(name: string, isId: boolean): Reference | undefined {
  try {
    return Reference.parse(name)
  } catch (error) {
    if (error instanceof InvalidReferenceError && (isId || /^[0-9a-f]{64}$/.test(name))) return undefined
    throw error
  }
}

function hexOf(digest: Digest | undefined): string {
  return digest === undefined ? '' : digestHex(digest)
}
