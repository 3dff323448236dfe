// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { FrameReader, frame, kFrame, kMaxInputFrame, resizeFrame } from './attach-frames.ts'

const kHasTerminal = 1
const kTakesInput = 2

/** A connection to the launcher of a container, by the socket in its directory. */
export class AttachClient {
  readonly hasTerminal: boolean
  readonly stdin: Writable | null
  readonly stdout: Readable
  readonly stderr: Readable | null
  /** Settles when the connection is gone: the container has ended, or {@link close} was called. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #reader: FrameReader
  /** Streams whose readers have enough for now. */
  readonly #full = new Set<Readable>()

  private constructor(socket: Socket, reader: FrameReader, flags: number) {
    this.#socket = socket
    this.#reader = reader
    this.hasTerminal = (flags & kHasTerminal) !== 0
    this.stdout = this.#output()
    this.stderr = this.hasTerminal ? null : this.#output()
    this.stdin = (flags & kTakesInput) === 0 ? null : new InputFrames(socket)
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.stdout.push(null)
        this.stderr?.push(null)
        this.stdin?.destroy()
        resolve()
      })
    })
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  /**
   * Connects, and waits until the launcher has this client in its list: what the container writes from then on is not missed.
   *
   * @returns `undefined` where nobody is there to connect to. @throws `signal.reason`
   */
  static async connect(directory: string, signal: AbortSignal | undefined): Promise<AttachClient | undefined> {
    signal?.throwIfAborted()
    const socket = await connectIn(directory)
    if (socket === undefined) return undefined
    const abort = (): void => {
      socket.destroy()
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const reader = new FrameReader()
      const flags = await helloOf(socket, reader)
      signal?.throwIfAborted()
      return flags === undefined ? undefined : new AttachClient(socket, reader, flags)
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  resize(rows: number, columns: number): void {
    if (this.hasTerminal && !this.#socket.destroyed) this.#socket.write(resizeFrame(rows, columns))
  }

  /** Leaves; the container goes on. */
  close(): void {
    this.#socket.destroy()
  }

  #output(): Readable {
    const readOn = (): void => {
      this.#full.delete(output)
      if (this.#full.size === 0) this.#socket.resume()
    }
    // A reader that gives up asks for no more, and must not be waited for.
    const output = new Readable({ read: readOn }).once('close', readOn)
    return output
  }

  #take(chunk: Buffer): void {
    for (const { kind, bytes } of this.#reader.push(chunk)) {
      const target = kind === kFrame.stderr ? this.stderr : kind === kFrame.stdout ? this.stdout : null
      if (target === null || target.destroyed || target.push(bytes)) continue
      // Its reader is slow: the launcher waits for us, and the container for the launcher.
      this.#full.add(target)
      this.#socket.pause()
    }
  }
}

/** What is typed, as frames. */
class InputFrames extends Writable {
  readonly #socket: Socket

  constructor(socket: Socket) {
    super({ decodeStrings: true })
    this.#socket = socket
    // A container that ends without reading its input is no error.
    this.on('error', () => undefined)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const frames: Buffer[] = []
    for (let at = 0; at < chunk.length; at += kMaxInputFrame) {
      frames.push(frame(kFrame.input, chunk.subarray(at, at + kMaxInputFrame)))
    }
    this.#send(Buffer.concat(frames), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send(frame(kFrame.inputEnd), done)
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (this.#socket.destroyed) done()
    else this.#socket.write(bytes, () => done())
  }
}

/** The path of the socket may be too long for the kernel: its directory has a short one. */
async function connectIn(directory: string): Promise<Socket | undefined> {
  let handle: FileHandle
  try {
    handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  await using directoryHandle = handle
  const socket = connect({ path: `/proc/self/fd/${directoryHandle.fd}/attach` })
  return await new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // It has just ended, or its launcher was killed.
      if (['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '')) resolve(undefined)
      else reject(error)
    })
  })
}

/** Waits for the first frame. @returns its flags; `undefined` at the end of the connection */
function helloOf(socket: Socket, reader: FrameReader): Promise<number | undefined> {
  // A connection that breaks is one that ends: there may be input that nobody has read.
  socket.on('error', () => undefined)
  return new Promise((resolve) => {
    const onReadable = (): void => {
      // Byte by byte, so that what comes behind it stays in the socket.
      for (let byte = socket.read(1) as Buffer | null; byte !== null; byte = socket.read(1) as Buffer | null) {
        for (const { bytes } of reader.push(byte)) {
          socket.off('readable', onReadable)
          resolve(bytes[0])
          return
        }
      }
    }
    socket.on('readable', onReadable)
    socket.once('close', () => resolve(undefined))
  })
}
