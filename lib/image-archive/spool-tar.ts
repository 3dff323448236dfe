import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { join, posix } from 'node:path'
import type { Parser, ReadEntry } from 'tar'
import { LayerError, WherryError } from '../errors.ts'
import { finishDigest } from '../oci/digest.ts'
import { makePrivateDirectory, openPrivateFile } from '../store/private-files.ts'
import { type ArchiveFile, type ArchiveFiles, memberName } from './archive-files.ts'

/** Bounds on an image archive. */
export interface ArchiveLimits {
  /** @default 1 TiB */
  readonly maxBytes?: number
  /** @default 20000 */
  readonly maxMembers?: number
}

const kMaxLinkDepth = 16

/**
 * Reads a tar file (plain or gzip) once, front to back, and puts every regular member in a numbered file of its own below `dir`,
 * hashing it on the way. Names and links of the archive exist in memory only. The caller removes `dir`, also after a failure.
 *
 * @throws {LayerError} naming the member: bad name, unexpected type, cut short, over a limit. Rejects with `signal.reason` on abort.
 */
export async function spoolTar(
  source: AsyncIterable<Uint8Array>,
  options: {
    label: string
    dir: string
    limits?: ArchiveLimits
    signal?: AbortSignal
    onBytes?: (bytes: number) => void
  },
): Promise<ArchiveFiles> {
  const { label, dir, signal, onBytes } = options
  await makePrivateDirectory(dir)
  const spool = new TarSpool(label, dir, options.limits ?? {}, signal)
  // Loaded with the first archive: it takes tens of milliseconds, and most processes read none.
  const tar = await import('tar')
  const parser = new tar.Parser({ strict: true, onReadEntry: (entry) => spool.take(entry) })
  // One controller instead of a promise to race: a race leaves a reaction on the long-lived promise at every turn.
  const failure = new AbortController()
  parser.on('error', (error: unknown) => failure.abort(error))
  spool.onFailure = (error) => failure.abort(error)
  try {
    for await (const chunk of source) {
      signal?.throwIfAborted()
      failure.signal.throwIfAborted()
      onBytes?.(chunk.byteLength)
      if (!parser.write(toBuffer(chunk))) await eventOrFailure(parser, 'drain', failure)
    }
    const ended = eventOrFailure(parser, 'end', failure)
    parser.end()
    await ended
    await spool.finish()
  } catch (error) {
    await spool.stop(error)
    throw signal?.aborted === true ? signal.reason : asLayerError(label, error)
  }
  return spool
}

class TarSpool implements ArchiveFiles {
  readonly label: string
  readonly #dir: string
  readonly #maxBytes: number
  readonly #maxMembers: number
  readonly #signal: AbortSignal | undefined
  readonly #files = new Map<string, ArchiveFile>()
  readonly #links = new Map<string, string>()
  readonly #writes: Promise<void>[] = []
  #bytes = 0
  #members = 0
  #current: ReadEntry | undefined
  #stopped: { reason: unknown } | undefined
  onFailure: (error: unknown) => void = () => undefined

  constructor(label: string, dir: string, limits: ArchiveLimits, signal: AbortSignal | undefined) {
    this.label = label
    this.#dir = dir
    this.#maxBytes = limits.maxBytes ?? 2 ** 40
    this.#maxMembers = limits.maxMembers ?? 20_000
    this.#signal = signal
  }

  async find(name: string): Promise<ArchiveFile | undefined> {
    let key = memberName(this.label, name)
    for (let depth = 0; depth < kMaxLinkDepth; depth++) {
      const target = this.#links.get(key)
      if (target === undefined) return this.#files.get(key)
      key = target
    }
    return undefined
  }

  take(entry: ReadEntry): void {
    this.#current = entry
    // Reported through the write below; without a listener, an entry that is stopped before it is read would throw.
    entry.on('error', () => undefined)
    // A write that fails stops the whole archive; the entry must still be drained, or the parser waits for ever.
    const write = this.#save(entry).catch((error: unknown) => {
      entry.resume()
      this.onFailure(error)
      throw error
    })
    write.catch(() => undefined)
    this.#writes.push(write)
  }

  async finish(): Promise<void> {
    await Promise.all(this.#writes)
  }

  /** Ends the member that is being read, whose rest will never come, and waits until no file is open. */
  async stop(reason: unknown): Promise<void> {
    this.#stopped = { reason }
    this.#current?.destroy(reason)
    await Promise.allSettled(this.#writes)
  }

  async #save(entry: ReadEntry): Promise<void> {
    const name = memberName(this.label, entry.path)
    if (++this.#members > this.#maxMembers) {
      throw new LayerError(this.label, name, `the archive has more than ${this.#maxMembers} members`)
    }
    switch (entry.type) {
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        return this.#saveFile(entry, name)
      case 'Directory':
        entry.resume()
        return
      case 'SymbolicLink':
        entry.resume()
        this.#addLink(name, posix.join(posix.dirname(name), entry.linkpath ?? ''))
        return
      case 'Link':
        entry.resume()
        this.#addLink(name, entry.linkpath ?? '')
        return
      default:
        throw new LayerError(this.label, name, `is a ${entry.type}, which has no place in an image archive`, {
          hint: 'the tar of a root file system becomes an image with Image.import()',
        })
    }
  }

  #throwIfStopped(): void {
    this.#signal?.throwIfAborted()
    if (this.#stopped !== undefined) throw this.#stopped.reason
  }

  #addLink(name: string, target: string): void {
    if (this.#files.has(name)) throw new LayerError(this.label, name, 'is there twice')
    this.#links.set(name, memberName(this.label, target))
  }

  async #saveFile(entry: ReadEntry, name: string): Promise<void> {
    this.#bytes += entry.size
    if (this.#bytes > this.#maxBytes)
      throw new LayerError(this.label, name, `the archive holds more than ${this.#maxBytes} bytes`)
    if (this.#files.has(name) || this.#links.has(name)) throw new LayerError(this.label, name, 'is there twice')
    const path = join(this.#dir, String(this.#members))
    // Claimed before the first await, so that a second member of this name is seen.
    this.#files.set(name, { path, sizeBytes: entry.size, sha256: undefined, owned: true })
    const hash = createHash('sha256')
    const file = await openPrivateFile(path, constants.O_WRONLY | constants.O_EXCL)
    let written = 0
    try {
      this.#throwIfStopped()
      for await (const chunk of entry as AsyncIterable<Uint8Array>) {
        hash.update(chunk)
        await file.writeFile(chunk)
        written += chunk.byteLength
        // A stopped entry gives neither data nor an end, so it must not be asked for more.
        this.#throwIfStopped()
      }
    } finally {
      await file.close()
    }
    if (written !== entry.size)
      throw new LayerError(this.label, name, `is cut short: ${written} of ${entry.size} bytes`)
    this.#files.set(name, { path, sizeBytes: written, sha256: finishDigest(hash), owned: true })
  }
}

async function eventOrFailure(parser: Parser, event: string, failure: AbortController): Promise<void> {
  try {
    await once(parser, event, { signal: failure.signal })
  } catch (error) {
    throw failure.signal.aborted ? failure.signal.reason : error
  }
}

function toBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function asLayerError(label: string, error: unknown): unknown {
  if (error instanceof WherryError || !(error instanceof Error)) return error
  const code = (error as { tarCode?: unknown }).tarCode ?? (error as NodeJS.ErrnoException).code
  if (typeof code !== 'string' || !/^(?:TAR_|Z_)/.test(code)) return error
  const path = (error as { entry?: { path?: unknown } }).entry?.path
  const entry = typeof path === 'string' ? path : undefined
  return new LayerError(label, entry, `is not a whole tar file: ${error.message}`, { cause: error })
}
