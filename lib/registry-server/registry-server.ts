// SPDX-License-Identifier: MIT
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostError } from '../store/host-error.ts'
import { Blobs } from './blobs.ts'
import { type CollectGarbageOptions, type CollectGarbageResult, collectGarbage } from './collect-garbage.ts'
import { Gate } from './gate.ts'
import { handleRequest } from './handler.ts'
import { KeyedLock } from './keyed-lock.ts'
import { Manifests } from './manifests.ts'
import { Mirror, openUpstream } from './mirror.ts'
import { type NormalizedServerOptions, normalizeServerOptions, type RegistryServerOptions } from './options.ts'
import type { ServerParts } from './parts.ts'
import { makeAuthorizer } from './passwords.ts'
import { Storage } from './storage.ts'
import { Tokens } from './token.ts'
import { Uploads } from './uploads.ts'

const kMaxHeaderBytes = 16 * 1024
/** A client has this long to send the head of a request, or to finish a TLS handshake. */
const kHeadTimeoutMs = 20_000
/** Longer than Go's clients keep an idle connection, so that they close first and never send into a closing one. */
const kKeepAliveMs = 120_000
/** Socket buffers of this size save system calls on large blobs. */
const kSocketBytes = 256 * 1024
const kLongestSweepPauseMs = 3_600_000
const kShortestSweepPauseMs = 1_000
const kDefaultGraceMs = 5_000

/**
 * Starts an OCI registry in this process.
 *
 * It serves what is below `root`, which survives the server and may be shared by several. Nothing is started when this rejects.
 *
 * @throws {InvalidOptionError} before anything is touched. @throws {SyscallError} where the address is taken (`EADDRINUSE`) or not
 *   for this user (`EACCES`), or the root cannot be made.
 * @source https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 */
export async function serveRegistry(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const normalized = normalizeServerOptions(options)
  const temporary = normalized.root === undefined
  const root = normalized.root ?? (await mkdtemp(join(tmpdir(), 'wherry-registry-')))
  try {
    const parts = await openParts(normalized, root)
    try {
      return await RegistryServer.listen(parts, temporary)
    } catch (error) {
      await parts.mirror?.close()
      throw error
    }
  } catch (error) {
    if (temporary) await rm(root, { recursive: true, force: true })
    throw hostError(`Serving a registry from ${root}`, error, 'choose a root that this user can write to')
  }
}

async function openParts(options: NormalizedServerOptions, root: string): Promise<ServerParts> {
  const storage = await Storage.open(root)
  const blobs = new Blobs(storage)
  const manifests = new Manifests(storage, options.maxManifestBytes)
  const uploads = new Uploads(storage, blobs, options.maxUploadAgeMs)
  await uploads.sweep()
  const tokens = options.tokenAuth === undefined ? undefined : new Tokens(options.tokenAuth)
  const gate = new Gate(makeAuthorizer(options.auth), tokens, options.tls === undefined ? 'http' : 'https')
  const mirror =
    options.upstream &&
    new Mirror({
      upstream: await openUpstream(options.upstream),
      storage,
      blobs,
      manifests,
      ttlMs: options.upstreamTtlMs,
    })
  return { options, storage, blobs, manifests, uploads, gate, tokens, locks: new KeyedLock(), mirror }
}

/** A registry that is listening. Made by `Registry.serve()`. */
export class RegistryServer {
  readonly #parts: ServerParts
  readonly #server: Server
  readonly #temporary: boolean
  readonly #running = new Set<Promise<void>>()
  readonly #sweeper: NodeJS.Timeout
  #sweeping: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  private constructor(parts: ServerParts, temporary: boolean) {
    this.#parts = parts
    this.#temporary = temporary
    this.#server = createHttpServer(parts.options, (request, response, awaitsContinue) =>
      this.#handle(request, response, awaitsContinue),
    )
    const pause = Math.max(kShortestSweepPauseMs, Math.min(parts.options.maxUploadAgeMs / 4, kLongestSweepPauseMs))
    this.#sweeper = setInterval(() => this.#sweep(), pause).unref()
  }

  /** @internal */
  static async listen(parts: ServerParts, temporary: boolean): Promise<RegistryServer> {
    const server = new RegistryServer(parts, temporary)
    try {
      await new Promise<void>((resolve, reject) => {
        server.#server.once('error', reject)
        server.#server.listen(parts.options.port, parts.options.host, () => {
          server.#server.off('error', reject)
          resolve()
        })
      })
      // Such as too many open files: no reason to end the process.
      server.#server.on('error', parts.options.onError)
      return server
    } catch (error) {
      clearInterval(server.#sweeper)
      throw listenError(parts.options, error)
    }
  }

  /** Directory with everything that was pushed. */
  get root(): string {
    return this.#parts.storage.root
  }

  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0
  }

  /** Host and port, as they stand in a reference: `127.0.0.1:41234`. */
  get address(): string {
    const { address, family } = (this.#server.address() as AddressInfo | null) ?? { address: '', family: '' }
    return `${family === 'IPv6' ? `[${address}]` : address}:${this.port}`
  }

  /** Address with its scheme: `http://127.0.0.1:41234`. */
  get url(): string {
    return `${this.#parts.options.tls === undefined ? 'http' : 'https'}://${this.address}`
  }

  /** Removes blobs that no manifest refers to. Safe while clients push and pull. */
  collectGarbage(options: CollectGarbageOptions = {}): Promise<CollectGarbageResult> {
    return collectGarbage(this.#parts, options)
  }

  /**
   * Stops listening, lets requests under way finish for a while, then cuts them. Uploads that are cut can go on when the root is
   * served again. A root that was temporary is removed.
   *
   * @param options.graceMs - how long requests may take to finish. @default 5_000
   */
  close({ graceMs = kDefaultGraceMs }: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(graceMs: number): Promise<void> {
    clearInterval(this.#sweeper)
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeIdleConnections()
    const deadline = setTimeout(() => this.#server.closeAllConnections(), graceMs)
    await closed
    clearTimeout(deadline)
    await Promise.all([...this.#running, this.#sweeping])
    await this.#parts.mirror?.close()
    if (this.#temporary) await rm(this.root, { recursive: true, force: true })
  }

  #handle(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    if (this.#closing !== undefined) response.setHeader('Connection', 'close')
    const running = handleRequest(this.#parts, request, response, awaitsContinue)
    this.#running.add(running)
    void running.finally(() => {
      this.#running.delete(running)
      // A connection is idle only once its answer has been sent.
      if (this.#closing !== undefined) setImmediate(() => this.#server.closeIdleConnections())
    })
  }

  #sweep(): void {
    const { uploads, storage, options } = this.#parts
    this.#sweeping = this.#sweeping
      .then(() => uploads.sweep())
      .then(() => storage.sweepTmp())
      .catch(options.onError)
  }
}

const kListenHints: Readonly<Record<string, string>> = {
  EADDRINUSE: 'choose another port, or 0 for any that is free',
  EACCES: 'ports below 1024 are for root: choose a higher one',
  EADDRNOTAVAIL: 'choose an address of this machine as host',
  ENOTFOUND: 'choose an address of this machine as host',
}

function listenError({ host, port }: NormalizedServerOptions, error: unknown): unknown {
  return hostError(
    `Serving a registry at ${host}:${port}`,
    error,
    kListenHints[(error as { code?: string }).code ?? ''],
  )
}

type Handler = (request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) => void

function createHttpServer(options: NormalizedServerOptions, handle: Handler): Server {
  const common = {
    maxHeaderSize: kMaxHeaderBytes,
    headersTimeout: kHeadTimeoutMs,
    // No limit for a whole request: a large blob takes its time. Bodies are watched for progress instead.
    requestTimeout: 0,
    keepAliveTimeout: kKeepAliveMs,
    highWaterMark: kSocketBytes,
    noDelay: true,
  }
  const server =
    options.tls === undefined
      ? createServer(common)
      : createTlsServer({ ...common, ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: kHeadTimeoutMs })
  server.maxConnections = options.maxConnections
  server.on('request', (request, response) => handle(request, response, false))
  server.on('checkContinue', (request, response) => handle(request, response, true))
  return server
}
