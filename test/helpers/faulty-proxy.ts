// SPDX-License-Identifier: MIT

import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  request as sendRequest,
} from 'node:http'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGzip } from 'node:zlib'
import { listen } from './listen.ts'

/** What goes wrong with an answer. */
export type Fault =
  /** The connection breaks after so many bytes of the answer's body. */
  | { kind: 'cut'; afterBytes: number }
  /** The connection breaks after the upstream has so many bytes of the request's body. */
  | { kind: 'cut-upload'; afterBytes: number }
  /** The upstream gets the whole request, and its answer is lost. */
  | { kind: 'lost-answer' }
  /** One bit of the body is another one. */
  | { kind: 'wrong-digest' }
  /** The body ends after so many bytes, and the headers say that this is all. */
  | { kind: 'short-body'; bytes: number }
  /** Another status, instead of the upstream's answer. */
  | { kind: 'status'; status: number; headers?: Record<string, string>; body?: string }
  /** Nothing more comes after so many bytes of the body; with a negative number not even headers. */
  | { kind: 'stall'; afterBytes: number }
  /** The rest of the body comes when a promise resolves, which lets a test see what happens meanwhile. */
  | { kind: 'hold'; afterBytes: number; until: Promise<unknown> }
  /** A few bytes at a time. */
  | { kind: 'drip'; chunkBytes: number; everyMs: number }
  /** A redirect, with `loop` to the same place. */
  | { kind: 'redirect'; to: string | 'loop'; status?: number }
  /** A body of zeros as long as announced, or with `silent` of a length that is not announced. */
  | { kind: 'endless'; bytes: number; contentType?: string; silent?: boolean }
  /** Zeros, packed, with `Content-Encoding: gzip`. */
  | { kind: 'gzip-bomb'; inflatedBytes: number; contentType?: string }

/** Which requests a fault is for. */
export interface FaultRule {
  fault: Fault
  /** @default any */
  method?: string
  /** Tried on the path with its query. @default any */
  path?: RegExp
  /** Only for requests that announce a body of so many bytes. @default any */
  minBodyBytes?: number
  /** How many requests it spoils, `Infinity` for all that come. @default 1 */
  times?: number
}

export interface SeenRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  /** Bytes of the answer's body that were handed to the kernel for the client so far. */
  sentBytes: number
  /** Whether the client gave up before the answer was complete. */
  isGivenUp: boolean
}

export interface FaultyProxy {
  /** `127.0.0.1:port` */
  readonly host: string
  readonly requests: SeenRequest[]
  inject(...rules: FaultRule[]): void
  /**
   * The rules that did not spoil as many requests as they should: of one for all requests, not a single one. A test of a fault
   * asserts that there are none, since it shows nothing otherwise.
   */
  unused(): FaultRule[]
  /** Forgets all rules and requests. */
  reset(): void
}

/** A proxy in front of a registry of plain http, which passes everything on but for the faults that are injected. */
export async function startFaultyProxy(t: TestContext, upstreamHost: string): Promise<FaultyProxy> {
  let rules: ArmedRule[] = []
  const requests: SeenRequest[] = []
  const ended = new AbortController()
  const server = createServer((request, response) => {
    const { method = '', url: path = '', headers } = request
    const seen: SeenRequest = { method, path, headers, sentBytes: 0, isGivenUp: false }
    response.on('close', () => {
      seen.isGivenUp = !response.writableFinished
    })
    requests.push(seen)
    const armed = takeRule(rules, seen)
    const exchange = new Exchange(upstreamHost, request, response, seen, ended.signal)
    exchange
      .run(armed?.rule.fault)
      .catch(() => response.destroy())
      .finally(() => {
        if (armed !== undefined && exchange.missed) armed.missed++
      })
  })
  t.after(() => ended.abort())
  return {
    host: await listen(t, server),
    requests,
    inject: (...more) => {
      rules.push(...more.map((rule) => ({ rule, spoiled: 0, missed: 0 })))
    },
    unused: () => {
      const isUnused = ({ rule: { times = 1 }, spoiled, missed }: ArmedRule) => {
        return spoiled - missed < (times === Number.POSITIVE_INFINITY ? 1 : times)
      }
      return rules.filter(isUnused).map(({ rule }) => rule)
    },
    reset: () => {
      rules = []
      requests.length = 0
    },
  }
}

interface ArmedRule {
  readonly rule: FaultRule
  /** Requests so far. */
  spoiled: number
  /** Of these, those that were over before it came to the fault. */
  missed: number
}

function takeRule(rules: ArmedRule[], seen: SeenRequest): ArmedRule | undefined {
  const bodyBytes = Number(seen.headers['content-length'] ?? 0)
  const armed = rules.find(({ rule: { method, path, minBodyBytes = 0, times = 1 }, spoiled }) => {
    return (
      spoiled < times &&
      bodyBytes >= minBodyBytes &&
      (method ?? seen.method) === seen.method &&
      (path === undefined || path.test(seen.path))
    )
  })
  if (armed !== undefined) armed.spoiled++
  return armed
}

/** One request and its answer. */
class Exchange {
  /** Whether the body ended before the place where the fault was to strike. */
  missed = false
  readonly #upstream: string
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #seen: SeenRequest
  readonly #signal: AbortSignal

  constructor(
    upstream: string,
    request: IncomingMessage,
    response: ServerResponse,
    seen: SeenRequest,
    signal: AbortSignal,
  ) {
    this.#upstream = upstream
    this.#request = request
    this.#response = response
    this.#seen = seen
    this.#signal = signal
  }

  async run(fault: Fault | undefined): Promise<void> {
    const response = this.#response
    switch (fault?.kind) {
      case 'status':
        this.#request.resume()
        response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers }).end(fault.body ?? '')
        return
      case 'redirect':
        this.#request.resume()
        response.writeHead(fault.status ?? 307, { location: fault.to === 'loop' ? this.#request.url : fault.to }).end()
        return
      case 'endless':
        return this.#invent(fault.bytes, {
          'content-type': fault.contentType,
          'content-length': fault.silent === true ? undefined : String(fault.bytes),
        })
      case 'gzip-bomb':
        return this.#bomb(fault.inflatedBytes, fault.contentType)
      default:
        if (fault?.kind === 'stall' && fault.afterBytes < 0) return
        return this.#forward(fault)
    }
  }

  async #forward(fault: Fault | undefined): Promise<void> {
    const [hostname, port] = this.#upstream.split(':')
    const { method, url, headers } = this.#request
    const upstream = sendRequest({ hostname, port, method, path: url, headers, agent: false })
    this.#response.on('close', () => upstream.destroy())
    // Of several errors only the first is told to who waits for the answer.
    upstream.on('error', () => undefined)
    const answered = once(upstream, 'response') as Promise<[IncomingMessage]>
    answered.catch(() => this.#response.destroy())
    await this.#sendBody(upstream, fault)
    const [answer] = await answered
    if (fault?.kind === 'lost-answer') {
      for await (const _ of answer);
      this.#request.socket.destroy()
      return
    }
    const responseHeaders = { ...answer.headers }
    if (fault?.kind === 'short-body') responseHeaders['content-length'] = String(fault.bytes)
    this.#response.writeHead(answer.statusCode ?? 502, responseHeaders)
    this.#response.flushHeaders()
    await this.#answerBody(answer, fault)
  }

  async #sendBody(upstream: ReturnType<typeof sendRequest>, fault: Fault | undefined): Promise<void> {
    let sent = 0
    for await (const chunk of this.#request as AsyncIterable<Buffer>) {
      const part = fault?.kind === 'cut-upload' ? chunk.subarray(0, fault.afterBytes - sent) : chunk
      sent += part.length
      // The upstream must have it before the cut, else the cut may overtake it.
      await new Promise<void>((resolve) => upstream.write(part, () => resolve()))
      if (fault?.kind !== 'cut-upload' || sent < fault.afterBytes) continue
      upstream.destroy()
      this.#request.socket.destroy()
      return
    }
    this.missed = fault?.kind === 'cut-upload'
    upstream.end()
  }

  async #answerBody(answer: IncomingMessage, fault: Fault | undefined): Promise<void> {
    let position = 0
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      if (fault?.kind === 'wrong-digest' && position === 0) chunk[0] = chunk[0]! ^ 1
      if (fault?.kind === 'hold' && position >= fault.afterBytes) await fault.until
      const limit =
        fault?.kind === 'cut' || fault?.kind === 'stall'
          ? fault.afterBytes
          : fault?.kind === 'short-body'
            ? fault.bytes
            : undefined
      const part = limit === undefined ? chunk : chunk.subarray(0, Math.max(0, limit - position))
      position += chunk.length
      if (fault?.kind === 'drip') await this.#drip(part, fault)
      else await this.#write(part)
      if (limit === undefined || position < limit) continue
      if (fault?.kind === 'cut') this.#request.socket.destroySoon()
      // A stall: the connection stays open and silent.
      if (fault?.kind === 'cut' || fault?.kind === 'stall') return
      if (fault?.kind === 'short-body') break
    }
    this.missed ||=
      fault?.kind === 'cut' || fault?.kind === 'stall' || (fault?.kind === 'wrong-digest' && position === 0)
    this.#response.end()
  }

  async #drip(bytes: Buffer, { chunkBytes, everyMs }: { chunkBytes: number; everyMs: number }): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#response.destroyed; at += chunkBytes) {
      await this.#write(bytes.subarray(at, at + chunkBytes))
      await sleep(everyMs, undefined, { signal: this.#signal })
    }
  }

  async #invent(bytes: number, headers: Record<string, string | undefined>): Promise<void> {
    this.#request.resume()
    const given = Object.entries(headers).filter((pair): pair is [string, string] => pair[1] !== undefined)
    this.#response.writeHead(200, Object.fromEntries(given))
    const block = Buffer.alloc(64 * 1024)
    for (let left = bytes; left > 0 && !this.#response.destroyed; left -= block.length) {
      await this.#write(block.subarray(0, Math.min(left, block.length)))
    }
    this.#response.end()
  }

  async #bomb(inflatedBytes: number, contentType: string | undefined): Promise<void> {
    this.#request.resume()
    const headers = { 'content-encoding': 'gzip', 'content-type': contentType ?? 'application/octet-stream' }
    this.#response.writeHead(200, headers)
    for await (const part of Readable.from(zeros(inflatedBytes)).pipe(createGzip({ level: 9 }))) {
      if (this.#response.destroyed) return
      await this.#write(part as Buffer)
    }
    this.#response.end()
  }

  async #write(part: Buffer): Promise<void> {
    if (this.#response.destroyed) return
    this.#seen.sentBytes += part.length
    if (this.#response.write(part)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#response.off('drain', done).off('close', done)
        resolve()
      }
      this.#response.once('drain', done).once('close', done)
    })
  }
}

function* zeros(bytes: number): Generator<Buffer> {
  const block = Buffer.alloc(1024 * 1024)
  for (let left = bytes; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length))
}
