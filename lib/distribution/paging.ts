import * as v from 'valibot'
import { type Purpose, protocolError } from './answer-error.ts'
import { readBody } from './body.ts'
import type { Endpoint } from './endpoint.ts'
import { nextLink } from './link-header.ts'
import { type Answer, resolveLocation } from './redirects.ts'
import { retrying } from './retry.ts'

const kMaxPageBytes = 8 * 1024 * 1024
const kMaxPages = 10_000
const kMaxNameLength = 512

const namesSchema = v.array(v.pipe(v.string(), v.maxLength(kMaxNameLength)))

/** What is listed, and from where. */
export interface NameList {
  readonly purpose: Purpose
  readonly target: string
  readonly scopes: readonly string[]
  /** The field of each page that has the names. */
  readonly field: 'tags' | 'repositories'
  readonly signal: AbortSignal | undefined
}

/** Lists names page by page. The registry decides on the size of pages; there are at most 10 000. */
export async function* listNames(endpoint: Endpoint, list: NameList): AsyncGenerator<string, void, undefined> {
  for await (const answer of pages(endpoint, list, kMaxPageBytes)) {
    for (const name of parseNames(list, answer)) yield name
  }
}

/** One page as it came. */
export interface Page extends Answer {
  readonly bytes: Buffer
}

/** What {@link pages} asks for. */
export interface PagedRequest {
  readonly purpose: Purpose
  readonly target: string
  readonly scopes: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal | undefined
}

/** Reads a document that comes in pages which name each the next. Next pages must be on the same host. */
export async function* pages(
  endpoint: Endpoint,
  request: PagedRequest,
  maxPageBytes: number,
): AsyncGenerator<Page, void, undefined> {
  const { purpose, signal } = request
  const seen = new Set<string>()
  let target: string | URL = request.target
  for (;;) {
    const page: Page = await retrying(endpoint.retries, signal, async () => {
      const answer = await endpoint.request({ ...request, method: 'GET', target, expected: [200] })
      return { ...answer, bytes: await readBody(purpose, answer, maxPageBytes) }
    })
    yield page
    const link = nextLink(page.headers.link)
    if (link === undefined) return
    const next = resolveLocation(purpose, 'GET', page.url, link)
    // Behind a proxy that ends https, registries name themselves with http.
    if (next.host === page.url.host) next.protocol = page.url.protocol
    if (next.origin !== page.url.origin) throw protocolError(purpose, 'GET', page.url, 'continues on another host')
    if (seen.has(next.href) || seen.size >= kMaxPages)
      throw protocolError(purpose, 'GET', next, 'has pages without end')
    seen.add(next.href)
    target = next
  }
}

function parseNames(list: NameList, page: Page): string[] {
  try {
    const json = JSON.parse(page.bytes.toString()) as Record<string, unknown> | null
    // Go programs write an empty list as null.
    return v.parse(namesSchema, json?.[list.field] ?? [])
  } catch (cause) {
    throw protocolError(list.purpose, page.method, page.url, `did not answer with a list of ${list.field}`, cause)
  }
}
