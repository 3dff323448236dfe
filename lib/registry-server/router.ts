// SPDX-License-Identifier: MIT
import { type Digest, isDigest } from '../oci/digest.ts'
import { isRepositoryPath, isTag } from '../oci/reference.ts'
import { RequestError } from './errors.ts'

const kMaxUrlLength = 8192
const kUploadId = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What a request is about. Every name in it follows its grammar, so that it is safe as a part of a path. */
export type Route =
  | { kind: 'ping' }
  | { kind: 'token' }
  | { kind: 'catalog' }
  | { kind: 'tags'; repository: string }
  | { kind: 'referrers'; repository: string; digest: Digest }
  | { kind: 'manifest'; repository: string; reference: Digest | { tag: string } }
  | { kind: 'blob'; repository: string; digest: Digest }
  | { kind: 'uploads'; repository: string }
  | { kind: 'upload'; repository: string; id: string }

const kMethods: Readonly<Record<Route['kind'], readonly string[]>> = {
  ping: ['GET', 'HEAD'],
  token: ['GET', 'POST'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  referrers: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
}

// Uploads come first: `blobs/uploads/<id>` would fit the others with a longer name.
const kPatterns = [
  ['uploads', /^\/v2\/(.+)\/blobs\/uploads\/?$/],
  ['upload', /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/],
  ['blob', /^\/v2\/(.+)\/blobs\/([^/]+)$/],
  ['manifest', /^\/v2\/(.+)\/manifests\/([^/]+)$/],
  ['referrers', /^\/v2\/(.+)\/referrers\/([^/]+)$/],
  ['tags', /^\/v2\/(.+)\/tags\/list$/],
] as const

/**
 * Finds out what a request is about.
 *
 * @param url - the request target as it was sent, such as `/v2/app/tags/list?n=2`.
 * @throws {RequestError} for a path, name, digest or method that the registry does not have.
 */
export function parseRoute(method: string, url: string): { route: Route; query: URLSearchParams } {
  if (url.length > kMaxUrlLength) {
    throw new RequestError('NAME_INVALID', `the URL is longer than ${kMaxUrlLength} characters`, { status: 414 })
  }
  const mark = url.indexOf('?')
  const path = decodePath(mark === -1 ? url : url.slice(0, mark))
  const route = findRoute(method, path)
  const allowed = kMethods[route.kind]
  if (!allowed.includes(method)) {
    const headers = { Allow: allowed.join(', ') }
    throw new RequestError('UNSUPPORTED', `${method} is not possible here`, { headers })
  }
  return { route, query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)) }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new RequestError('NAME_INVALID', 'the path has a malformed percent-encoding')
  }
}

function findRoute(method: string, path: string): Route {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (path === '/token') return { kind: 'token' }
  for (const [kind, pattern] of kPatterns) {
    const match = pattern.exec(path)
    if (match !== null) return makeRoute(kind, method, match[1] ?? '', match[2] ?? '')
  }
  throw new RequestError('UNSUPPORTED', 'the registry has no such path', { status: 404 })
}

function makeRoute(kind: (typeof kPatterns)[number][0], method: string, repository: string, last: string): Route {
  checkRepository(repository)
  switch (kind) {
    case 'uploads':
    case 'tags':
      return { kind, repository }
    case 'upload':
      if (!kUploadId.test(last)) throw new RequestError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
      return { kind, repository, id: last }
    case 'blob':
    case 'referrers':
      return { kind, repository, digest: checkDigest(last) }
    case 'manifest':
      return { kind, repository, reference: checkReference(method, last) }
  }
}

/** Checks a repository's name. @throws {RequestError} NAME_INVALID */
export function checkRepository(name: string): string {
  if (!isRepositoryPath(name)) {
    throw new RequestError('NAME_INVALID', 'the repository name does not follow the grammar', {
      detail: { name: name.slice(0, 300) },
    })
  }
  return name
}

/** Checks a digest. @throws {RequestError} DIGEST_INVALID */
export function checkDigest(text: string): Digest {
  if (!isDigest(text)) {
    throw new RequestError('DIGEST_INVALID', 'a digest is sha256 or sha512, a colon, and lower-case hex', {
      detail: { digest: text.slice(0, 200) },
    })
  }
  return text
}

function checkReference(method: string, text: string): Digest | { tag: string } {
  if (text.includes(':')) return checkDigest(text)
  if (isTag(text)) return { tag: text }
  const detail = { tag: text.slice(0, 200) }
  if (method === 'PUT') throw new RequestError('TAG_INVALID', 'the tag does not follow the grammar', { detail })
  // Nothing can be stored under such a name, so for a reader it is just absent.
  throw new RequestError('MANIFEST_UNKNOWN', 'there is no such manifest', { detail })
}
