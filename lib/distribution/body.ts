import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { networkError, type Purpose, protocolError } from './answer-error.ts'
import type { Answer } from './redirects.ts'

const gunzipAsync = promisify(gunzip)
/** Bytes of an answer that nobody wants which are read so that its connection can be used again. */
const kMaxDiscardedBytes = 64 * 1024

/**
 * Reads a whole body of at most `maxBytes`.
 *
 * @throws {RegistryError} when it is cut or stalls. @throws {RegistryError} when it is longer, before or after it is inflated: nobody asked for gzip, but some send it anyway.
 */
export async function readBody(purpose: Purpose, answer: Answer, maxBytes: number): Promise<Buffer> {
  const tooLong = (): Error => {
    answer.body.on('error', () => undefined).destroy()
    return protocolError(
      purpose,
      answer.method,
      answer.url,
      `sent more than ${maxBytes} bytes, which is the most that is read`,
    )
  }
  if (Number(answer.headers['content-length'] ?? 0) > maxBytes) throw tooLong()
  const bytes = await receive(purpose, answer, maxBytes)
  if (bytes === undefined) throw tooLong()
  const encoding = String(answer.headers['content-encoding'] ?? 'identity').toLowerCase()
  if (encoding === 'identity' || encoding === '') return bytes
  try {
    if (encoding === 'gzip' || encoding === 'x-gzip') return await gunzipAsync(bytes, { maxOutputLength: maxBytes })
  } catch (cause) {
    throw protocolError(
      purpose,
      answer.method,
      answer.url,
      `sent gzip that is broken or longer than ${maxBytes} bytes`,
      cause,
    )
  }
  throw protocolError(
    purpose,
    answer.method,
    answer.url,
    `sent the content encoding ${JSON.stringify(encoding.slice(0, 40))}`,
  )
}

/** @returns `undefined` where there is more. */
async function receive(purpose: Purpose, answer: Answer, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > maxBytes) return undefined
      chunks.push(chunk)
    }
  } catch (error) {
    answer.signal?.throwIfAborted()
    throw networkError(purpose, answer.method, answer.url, error, answer.stallTimeoutMs)
  }
  return Buffer.concat(chunks, length)
}

/** The first bytes of a body, whatever becomes of the rest. Never rejects. */
export async function readStart(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  body.on('error', () => undefined)
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length >= kMaxDiscardedBytes) break
    }
  } catch {
    // What came says enough.
  }
  return Buffer.concat(chunks).subarray(0, kMaxDiscardedBytes)
}
