import { IntegrityError, type RegistryError, WherryError } from '../errors.ts'
import type { Digest } from '../oci/digest.ts'
import { networkError, type Purpose, protocolError } from './answer-error.ts'
import type { Endpoint } from './endpoint.ts'
import type { Answer } from './redirects.ts'
import { RetryBudget } from './retry.ts'

/** So much progress makes up for earlier failures. Less would let a registry keep a client busy with a byte a connection. */
const kProgressBytes = 256 * 1024

/** Which blob, and how it is asked for. */
export interface BlobRequest {
  readonly purpose: Purpose
  readonly repository: string
  readonly descriptor: { readonly digest: Digest; readonly size: number }
  readonly scopes: (endpoint: Endpoint) => readonly string[]
  /** First byte wanted. */
  readonly offset: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Streams a blob from the first source that has it. A connection that breaks is continued where it broke, on the next source or
 * the last one again. Gives exactly the bytes from `offset` to the size; their digest is for the consumer to verify.
 */
export async function* downloadBlob(
  sources: readonly Endpoint[],
  request: BlobRequest,
): AsyncGenerator<Buffer, void, undefined> {
  const { descriptor, signal } = request
  let position = request.offset
  for (const [index, endpoint] of sources.entries()) {
    const budget = new RetryBudget(endpoint.retries)
    let start = position
    while (position < descriptor.size) {
      try {
        for await (const chunk of readFrom(endpoint, request, position)) {
          position += chunk.length
          yield chunk
        }
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof WherryError)) throw error
        if (index < sources.length - 1) break
        if (position - start >= kProgressBytes) {
          budget.reset()
          start = position
        }
        await budget.next(error, signal)
      }
    }
  }
}

async function* readFrom(
  endpoint: Endpoint,
  request: BlobRequest,
  offset: number,
): AsyncGenerator<Buffer, void, undefined> {
  const { purpose, descriptor, signal } = request
  const answer = await endpoint.request({
    purpose,
    method: 'GET',
    target: `${endpoint.pathOf(request.repository)}/blobs/${descriptor.digest}`,
    scopes: request.scopes(endpoint),
    headers: offset === 0 ? {} : { range: `bytes=${offset}-` },
    expected: offset === 0 ? [200] : [200, 206],
    signal,
  })
  const start = startOf(request, answer, offset)
  let position = start
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      const from = Math.max(0, offset - position)
      position += chunk.length
      if (position > descriptor.size) throw sizeError(request, `more than ${descriptor.size} bytes`)
      if (from < chunk.length) yield from === 0 ? chunk : chunk.subarray(from)
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof WherryError) throw error
    throw networkError(purpose, answer.method, answer.url, error, endpoint.stallTimeoutMs)
  } finally {
    answer.body.on('error', () => undefined).destroy()
  }
  // The whole answer has come: more attempts would bring no more.
  if (position < descriptor.size) throw sizeError(request, `${position} bytes`)
}

/** Checks what the answer says of its extent. @returns the position of its first byte in the blob. */
function startOf(request: BlobRequest, answer: Answer, offset: number): number {
  const { descriptor } = request
  const refuse = (error: RegistryError | IntegrityError): never => {
    answer.body.on('error', () => undefined).destroy()
    throw error
  }
  if (answer.status === 206) {
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(String(answer.headers['content-range'] ?? ''))
    const total = range?.[3] === '*' ? descriptor.size : Number(range?.[3])
    if (range === null || Number(range[1]) !== offset || total !== descriptor.size) {
      return refuse(
        protocolError(request.purpose, answer.method, answer.url, 'answered with another range than asked for'),
      )
    }
    return offset
  }
  const length = answer.headers['content-length']
  if (typeof length === 'string' && Number(length) !== descriptor.size)
    return refuse(sizeError(request, `${length} bytes`))
  return 0
}

function sizeError(request: BlobRequest, actual: string): IntegrityError {
  const { digest, size } = request.descriptor
  return new IntegrityError(`Size of blob ${digest} of ${request.repository}`, `${size} bytes`, actual)
}
