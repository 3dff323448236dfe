import * as v from 'valibot'
import { type Purpose, printable, protocolError } from './answer-error.ts'
import { readBody } from './body.ts'
import type { Endpoint } from './endpoint.ts'
import type { RegistryHost } from './hosts.ts'

const kMaxAnswerBytes = 4 * 1024 * 1024
const kMaxHubResults = 100

/** A repository that a search found. */
export interface SearchResult {
  /** Such as `library/nginx` or, by Docker Hub's habit, `nginx`. */
  readonly name: string
  /** Empty where the registry has none. */
  readonly description: string
  /** 0 where the registry does not count. */
  readonly stars: number
  readonly isOfficial: boolean
}

/** Where Docker Hub answers searches; not where it keeps images. */
export const kHubSearchHost: RegistryHost = {
  name: 'index.docker.io',
  authority: 'index.docker.io',
  hostname: 'index.docker.io',
  prefix: '',
  scheme: 'https:',
}

const hubSchema = v.object({
  results: v.array(
    v.object({
      name: v.string(),
      description: v.nullish(v.string(), ''),
      star_count: v.nullish(v.number(), 0),
      is_official: v.nullish(v.boolean(), false),
    }),
  ),
})

/** Asks Docker Hub, as `docker search` does. @source https://docs.docker.com/reference/cli/docker/search/ */
export async function searchHub(
  endpoint: Endpoint,
  purpose: Purpose,
  search: { query: string; limit: number; signal: AbortSignal | undefined },
): Promise<SearchResult[]> {
  const { query, limit, signal } = search
  const parameters = new URLSearchParams({ q: query, n: String(Math.min(limit, kMaxHubResults)) })
  const target = new URL(`https://${kHubSearchHost.authority}/v1/search?${parameters}`)
  const answer = await endpoint.request({ purpose, method: 'GET', target, scopes: [], expected: [200], signal })
  const bytes = await readBody(purpose, answer, kMaxAnswerBytes)
  let results: v.InferOutput<typeof hubSchema>['results']
  try {
    results = v.parse(hubSchema, JSON.parse(bytes.toString())).results
  } catch (cause) {
    throw protocolError(purpose, 'GET', answer.url, 'did not answer with results', cause)
  }
  return results.slice(0, limit).map((each) => ({
    name: printable(each.name),
    description: printable(each.description),
    stars: each.star_count,
    isOfficial: each.is_official,
  }))
}

/** Looks for a part of the name in a catalog. Ends with the first `limit` that fit. */
export async function searchCatalog(
  catalog: AsyncIterable<string>,
  query: string,
  limit: number,
): Promise<SearchResult[]> {
  const wanted = query.toLowerCase()
  const found: SearchResult[] = []
  for await (const name of catalog) {
    if (found.length >= limit) break
    if (name.toLowerCase().includes(wanted)) found.push({ name, description: '', stars: 0, isOfficial: false })
  }
  return found
}
