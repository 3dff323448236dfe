// SPDX-License-Identifier: MIT
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigest } from '../oci/digest.ts'
import { isRepositoryPath } from '../oci/reference.ts'
import { isErrno } from '../store/atomic.ts'
import { namesIn } from '../store/files.ts'
import { RequestError } from './errors.ts'
import { type Exchange, sendJson } from './exchange.ts'
import { repositoryUnknown } from './manifest-endpoints.ts'
import type { ServerParts } from './parts.ts'

/** Names in one answer, however many were asked for. */
const kMaxPage = 10_000

/** Sends the tags of a repository, a page at a time. */
export async function serveTags(parts: ServerParts, exchange: Exchange, repository: string): Promise<void> {
  const upstream = await parts.mirror?.tags(repository)
  if (upstream === undefined && !(await parts.manifests.knows(repository))) throw repositoryUnknown(repository)
  const page = cutPage(upstream ?? (await parts.manifests.tags(repository)), exchange.query)
  sendJson(exchange, 200, { name: repository, tags: page.names }, linkHeader(`/v2/${repository}/tags/list`, page.next))
}

/** Sends the names of all repositories, a page at a time. */
export async function serveCatalog({ storage }: ServerParts, exchange: Exchange): Promise<void> {
  const names: string[] = []
  for await (const name of walkRepositories(storage.repositoriesDir)) {
    if (await hasManifests(join(storage.repository(name), '_manifests'))) names.push(name)
  }
  const page = cutPage(names.sort(), exchange.query)
  sendJson(exchange, 200, { repositories: page.names }, linkHeader('/v2/_catalog', page.next))
}

/**
 * Cuts a page out of a sorted list: at most `n` names that come after `last`.
 *
 * @returns the page, and the query of the next one where there is more.
 * @throws {RequestError} PAGINATION_NUMBER_INVALID
 */
export function cutPage(
  sorted: readonly string[],
  query: URLSearchParams,
): { names: string[]; next: string | undefined } {
  const text = query.get('n')
  if (text !== null && !/^\d{1,9}$/.test(text)) {
    throw new RequestError('PAGINATION_NUMBER_INVALID', 'n must be a number of 0 or more', { detail: { n: text } })
  }
  const count = Math.min(text === null ? kMaxPage : Number(text), kMaxPage)
  const last = query.get('last')
  const rest = last === null ? sorted : sorted.filter((name) => name > last)
  const names = rest.slice(0, count)
  const end = names.at(-1)
  const more = end !== undefined && rest.length > names.length
  return { names, next: more ? `n=${count}&last=${encodeURIComponent(end)}` : undefined }
}

/** Points at the next page. */
export function linkHeader(path: string, next: string | undefined): { Link?: string } {
  return next === undefined ? {} : { Link: `<${path}?${next}>; rel="next"` }
}

/** Names of all repositories, those without a manifest too, in no order. */
export async function* walkRepositories(dir: string, prefix = ''): AsyncGenerator<string> {
  const entries = await namesIn(dir)
  if (entries.some((entry) => entry.startsWith('_'))) yield prefix
  for (const entry of entries) {
    const name = prefix === '' ? entry : `${prefix}/${entry}`
    if (isRepositoryPath(name)) yield* walkRepositories(join(dir, entry), name)
  }
}

async function hasManifests(dir: string): Promise<boolean> {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    try {
      // Leaving the loop closes the directory.
      for await (const { name } of await opendir(join(dir, algorithm)))
        if (isDigest(`${algorithm}:${name}`)) return true
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error
    }
  }
  return false
}
