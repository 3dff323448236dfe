import { NotFoundError, RegistryError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import type { Purpose } from './answer-error.ts'
import { readStart } from './body.ts'
import { type Endpoint, requireHeader } from './endpoint.ts'
import { longPatienceMs } from './patience.ts'
import { type Answer, resolveLocation } from './redirects.ts'
import type { RegistryClient } from './registry-client.ts'
import { RetryBudget } from './retry.ts'
import { type OpenBlob, UploadBody } from './upload-body.ts'

export type { OpenBlob } from './upload-body.ts'

/** How long a registry has to answer that it forgets an upload, and how long after an abort. */
const kCancelPatienceMs = 5_000
const kAbortedPatienceMs = 500
/** How often an upload that the registry has forgotten is begun again. */
const kMaxRestarts = 3

/** A blob on its way to a registry. */
export interface BlobPush {
  readonly purpose: Purpose
  /** Of the repository, as the endpoint has it. */
  readonly path: string
  readonly scopes: readonly string[]
  readonly descriptor: { readonly digest: Digest; readonly size: number }
  /** `undefined`: only a mount is tried. */
  readonly open: OpenBlob | undefined
  readonly mountFrom: string | undefined
  readonly mountScopes: readonly string[]
  readonly onBytes: ((sentBytes: number) => void) | undefined
  readonly signal: AbortSignal | undefined
}

/** Where an upload is, and how far. */
interface UploadState {
  readonly location: URL
  readonly offset: number
}

/**
 * Uploads a blob: POST to begin, one PUT with all bytes. After a cut the registry is asked how much it has, and the rest is sent by
 * PATCH; where it does not say, the upload begins again. PATCH is for that only, since some registries limit it to a few MiB.
 *
 * @returns `not-mounted` where only a mount was wanted, and refused.
 */
export async function uploadBlob(
  client: RegistryClient,
  push: BlobPush,
): Promise<'mounted' | 'uploaded' | 'not-mounted'> {
  const endpoint = client.registry
  const begun = await client.write(push.signal, () => begin(endpoint, push, push.mountFrom))
  if (begun === 'mounted') return 'mounted'
  if (push.open === undefined) {
    await cancel(endpoint, push, begun)
    return 'not-mounted'
  }
  const budget = new RetryBudget(endpoint.retries)
  let state: UploadState | undefined = begun
  for (let restarts = 0; state !== undefined; ) {
    try {
      await send(endpoint, push, push.open, state)
      break
    } catch (error) {
      const forgotten = isForgotten(error) && restarts < kMaxRestarts
      if (forgotten) restarts += 1
      else await nextOrCancel(endpoint, push, state, budget, error)
      const next: UploadState | undefined = await recover(client, push, forgotten ? undefined : state)
      if (next !== undefined && next.offset > state.offset) budget.reset()
      state = next
    }
  }
  return 'uploaded'
}

/** Finds out where to go on, or begins again. @returns `undefined` where the registry has the whole blob. */
async function recover(
  client: RegistryClient,
  push: BlobPush,
  state: UploadState | undefined,
): Promise<UploadState | undefined> {
  const endpoint = client.registry
  const found = state === undefined ? undefined : await findState(endpoint, push, state)
  if (found !== undefined) return found
  // The commit may have arrived, and only its answer got lost.
  if (await client.write(push.signal, () => exists(endpoint, push))) return undefined
  const again = await client.write(push.signal, () => begin(endpoint, push, undefined))
  return again === 'mounted' ? undefined : again
}

async function nextOrCancel(
  endpoint: Endpoint,
  push: BlobPush,
  state: UploadState,
  budget: RetryBudget,
  error: unknown,
): Promise<void> {
  try {
    await budget.next(error, push.signal)
  } catch (final) {
    await cancel(endpoint, push, state)
    throw final
  }
}

/** Whether the registry does not know the upload (any more), or does not take it from where it is. */
function isForgotten(error: unknown): boolean {
  if (error instanceof NotFoundError) return true
  if (!(error instanceof RegistryError)) return false
  return (
    error.status === 416 ||
    error.diagnostics.some(({ code }) => /^BLOB_UPLOAD_(UNKNOWN|INVALID)$|^RANGE_INVALID$/.test(code))
  )
}

async function begin(
  endpoint: Endpoint,
  push: BlobPush,
  mountFrom: string | undefined,
): Promise<UploadState | 'mounted'> {
  const { purpose, signal, descriptor } = push
  const query = mountFrom === undefined ? '' : `?${new URLSearchParams({ mount: descriptor.digest, from: mountFrom })}`
  const answer = await endpoint.request({
    purpose,
    method: 'POST',
    target: `${push.path}/blobs/uploads/${query}`,
    scopes: mountFrom === undefined ? push.scopes : push.mountScopes,
    headers: { 'content-length': '0' },
    expected: [201, 202],
    signal,
  })
  await readStart(answer.body)
  if (answer.status === 201 && mountFrom !== undefined) return 'mounted'
  return { location: locationOf(purpose, answer), offset: 0 }
}

async function send(endpoint: Endpoint, push: BlobPush, open: OpenBlob, state: UploadState): Promise<void> {
  const { purpose, descriptor } = push
  let { location } = state
  if (state.offset === 0) return commit(endpoint, push, location, open)
  if (state.offset < descriptor.size) {
    const headers = { 'content-range': `${state.offset}-${descriptor.size - 1}` }
    const answer = await sendBytes(endpoint, push, open, { method: 'PATCH', location, headers, offset: state.offset })
    location = locationOf(purpose, answer)
  }
  return commit(endpoint, push, location, undefined)
}

/** Ends an upload: with all bytes, or after they have been sent. */
async function commit(endpoint: Endpoint, push: BlobPush, location: URL, open: OpenBlob | undefined): Promise<void> {
  const target = new URL(location)
  // Not by searchParams: that would write the registry's own parameters anew.
  target.search += `${target.search === '' ? '?' : '&'}digest=${encodeURIComponent(push.descriptor.digest)}`
  if (open !== undefined && push.descriptor.size > 0) {
    await sendBytes(endpoint, push, open, { method: 'PUT', location: target, headers: {}, offset: 0 })
    return
  }
  const { purpose, scopes, signal } = push
  const answer = await endpoint.request({
    purpose,
    method: 'PUT',
    target,
    scopes,
    headers: { 'content-length': '0', 'content-type': 'application/octet-stream' },
    headersTimeoutMs: longPatienceMs(endpoint.stallTimeoutMs),
    expected: [200, 201, 204],
    signal,
  })
  await readStart(answer.body)
}

async function sendBytes(
  endpoint: Endpoint,
  push: BlobPush,
  open: OpenBlob,
  how: { method: 'PUT' | 'PATCH'; location: URL; headers: Record<string, string>; offset: number },
): Promise<Answer> {
  const { purpose, scopes, signal, descriptor } = push
  const range = { offset: how.offset, end: descriptor.size }
  const body = new UploadBody(open, range, endpoint.stallTimeoutMs, push.onBytes ?? (() => undefined))
  const length = String(descriptor.size - how.offset)
  try {
    const answer = await endpoint.request({
      purpose,
      method: how.method,
      target: how.location,
      scopes,
      headers: { ...how.headers, 'content-length': length, 'content-type': 'application/octet-stream' },
      body: () => body.stream(),
      headersTimeoutMs: longPatienceMs(endpoint.stallTimeoutMs),
      expected: [200, 201, 202, 204],
      signal,
    })
    await readStart(answer.body)
    return answer
  } catch (error) {
    signal?.throwIfAborted()
    if (body.failure !== undefined) throw body.failure.error
    throw error
  }
}

/** Asks how much of an upload has arrived. @returns `undefined` where it cannot be continued. */
async function findState(endpoint: Endpoint, push: BlobPush, state: UploadState): Promise<UploadState | undefined> {
  const { purpose, scopes, signal } = push
  try {
    const request = { purpose, scopes, method: 'GET', target: state.location, expected: [200, 202, 204] } as const
    const answer = await endpoint.request({ ...request, signal })
    await readStart(answer.body)
    const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(String(answer.headers.range ?? ''))?.[1] ?? Number.NaN)
    // 0-0 is what some say of nothing and others of one byte.
    if (!Number.isSafeInteger(last) || last === 0 || last >= push.descriptor.size) return undefined
    return { location: locationOf(purpose, answer), offset: last + 1 }
  } catch {
    signal?.throwIfAborted()
    return undefined
  }
}

async function exists(endpoint: Endpoint, push: BlobPush): Promise<boolean> {
  const { purpose, scopes, signal } = push
  const target = `${push.path}/blobs/${push.descriptor.digest}`
  const answer = await endpoint.request({ purpose, method: 'HEAD', target, scopes, expected: [200, 404], signal })
  await readStart(answer.body)
  return answer.status === 200
}

/** Tells the registry to forget an upload. It forgets by itself in time, so failures are no matter. */
async function cancel(endpoint: Endpoint, push: BlobPush, state: UploadState): Promise<void> {
  const { purpose, scopes } = push
  // Also after the caller's signal, but who aborts does not wait for a registry that may not answer.
  const patienceMs = push.signal?.aborted === true ? kAbortedPatienceMs : kCancelPatienceMs
  const signal = AbortSignal.timeout(Math.min(patienceMs, endpoint.stallTimeoutMs))
  const request = { purpose, scopes, method: 'DELETE', target: state.location, expected: [200, 202, 204, 404] } as const
  try {
    await readStart((await endpoint.request({ ...request, signal })).body)
  } catch {
    // Said above.
  }
}

/** The place of an upload after an answer. Behind a proxy that ends https, registries name themselves with http. */
function locationOf(purpose: Purpose, answer: Answer): URL {
  const location = resolveLocation(purpose, answer.method, answer.url, requireHeader(purpose, answer, 'location'))
  if (location.hostname === answer.url.hostname && answer.url.protocol === 'https:' && location.protocol === 'http:') {
    location.protocol = 'https:'
    location.port = answer.url.port
  }
  return location
}
