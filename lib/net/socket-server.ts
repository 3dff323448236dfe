// SPDX-License-Identifier: MIT
import { constants } from 'node:os'
import { orAborted } from '../async/or-aborted.ts'
import { Turns } from '../async/turns.ts'
import { SyscallError, WherryError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import type { Launcher } from '../launcher/launcher.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import type { Native } from '../launcher/native.ts'
import type { NativeChannel } from '../launcher/process-native.ts'
import { errnoName } from '../launcher/step-error.ts'
import { whenThereIsRoom } from '../runtime/when-there-is-room.ts'
import { encodeSocketCancel, encodeSocketRequest, parseSocketReply, type SocketRequest } from './socket-protocol.ts'

const kSigkill = 9
/** Below what native/socket_server.cc keeps. */
const kMaxAtOnce = 128
const kLastId = 0xffffffff

interface Waiting {
  readonly request: SocketRequest
  readonly resolve: (fd: number) => void
  readonly reject: (error: Error) => void
}

/** What a {@link SocketServer} consists of. */
export interface SocketServerParts {
  readonly native: Native
  readonly launcher: Launcher
  readonly child: LauncherChild
  /** Our end of the socket that it takes requests from; the server's to close from now on. */
  readonly socket: number
}

/** A process in a container's network namespace that makes sockets there (native/socket_server.cc). */
export class SocketServer {
  readonly #parts: SocketServerParts
  readonly #channel: NativeChannel
  readonly #waiting = new Map<number, Waiting>()
  readonly #turns = new Turns()
  #nextId = 1
  #busy = 0
  #ending: Promise<void> | undefined
  /** Resolves when {@link end} is called. */
  readonly gone: Promise<void>
  #resolveGone: () => void = () => {}

  constructor(parts: SocketServerParts) {
    this.#parts = parts
    this.#channel = new parts.native.Channel(parts.socket, (message, fds) => this.#onMessage(message, fds))
    this.#channel.unref()
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve
    })
  }

  get ended(): boolean {
    return this.#ending !== undefined
  }

  /**
   * Makes a socket.
   *
   * @returns its descriptor, which does not block and is the caller's to close.
   * @throws {SyscallError} ECONNREFUSED, EADDRINUSE, … @throws {WherryError} `ERR_CHILD_ENDED` when the process is gone.
   */
  async make(request: SocketRequest, signal?: AbortSignal): Promise<number> {
    // At the end all are woken at once, before those who were busy have noticed.
    while (this.#busy >= kMaxAtOnce && !this.ended) await this.#turns.wait(signal)
    signal?.throwIfAborted()
    if (this.ended) throw endedEarly()
    this.#busy++
    // Nothing else keeps the event loop going until the answer is there.
    this.#channel.ref()
    try {
      return await this.#ask(request, signal)
    } finally {
      if (--this.#busy === 0 && !this.ended) this.#channel.unref()
      this.#turns.next()
    }
  }

  async #ask(request: SocketRequest, signal: AbortSignal | undefined): Promise<number> {
    const id = this.#nextId
    this.#nextId = id === kLastId ? 1 : id + 1
    const answer = new Promise<number>((resolve, reject) => {
      this.#waiting.set(id, { request, resolve, reject })
    })
    // It may be rejected while we still wait for room.
    answer.catch(() => undefined)
    let isSent = false
    try {
      await whenThereIsRoom(() => {
        signal?.throwIfAborted()
        this.#send(encodeSocketRequest(id, request))
        isSent = true
      })
      return await orAborted(answer, signal)
    } catch (error) {
      // Whoever got its descriptor has it no more in the list.
      if (!this.#waiting.delete(id)) void answer.then((fd) => this.#parts.native.close(fd), ignore)
      else if (isSent && !this.ended) this.#cancel(id)
      throw error
    }
  }

  #send(bytes: Uint8Array): void {
    if (this.ended) throw endedEarly()
    try {
      this.#channel.send(bytes, [])
    } catch (error) {
      // It has been killed, of which we hear in a moment.
      throw isNativeError(error, 'EPIPE', 'ECONNRESET') ? endedEarly() : error
    }
  }

  #cancel(id: number): void {
    // A socket that is full or broken: then it is made, and closed when it arrives.
    void whenThereIsRoom(() => this.#send(encodeSocketCancel(id))).catch(ignore)
  }

  #onMessage(message: Buffer | null, fds: readonly number[]): void {
    if (message === null) {
      void this.end()
      return
    }
    const reply = parseSocketReply(message)
    const [fd = -1] = fds
    const waiting = reply === undefined ? undefined : this.#waiting.get(reply.id)
    if (reply === undefined || waiting === undefined) {
      if (fd >= 0) this.#parts.native.close(fd)
      return
    }
    this.#waiting.delete(reply.id)
    if (fd >= 0) waiting.resolve(fd)
    else if (reply.errno !== 0) waiting.reject(socketError(waiting.request, reply.call, reply.errno))
    // It was sent, and the kernel had no number for it here (unix(7)).
    else waiting.reject(socketError(waiting.request, 'recvmsg', constants.errno.EMFILE))
  }

  /** Ends the process, and waits for it; what waits for sockets is rejected. */
  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    const { launcher, child } = this.#parts
    this.#channel.close()
    this.#resolveGone()
    for (const { reject } of this.#waiting.values()) reject(endedEarly())
    this.#waiting.clear()
    this.#turns.all()
    launcher.hold()
    try {
      child.kill(kSigkill)
      // Where there has never been a process, nobody tells of its end.
      if (child.pid !== 0) await child.exited
      child.release()
    } finally {
      launcher.unhold()
    }
  }
}

function ignore(): void {
  // What it was about is gone.
}

function endedEarly(): WherryError {
  return new WherryError('The process that makes sockets in the container has ended.', { code: 'ERR_CHILD_ENDED' })
}

/** Node's error, in our class. */
function socketError({ op, address }: SocketRequest, call: string, errno: number): SyscallError {
  const [code, text] = errnoName(errno)
  const where = 'path' in address ? address.path : `${address.host}:${address.port}`
  const intent =
    op === 'connect' ? `Cannot connect to ${where} in the container` : `Cannot use ${where} in the container`
  return new SyscallError(intent, {
    code,
    errno,
    syscall: call,
    args: where,
    text,
    ...('path' in address ? { path: address.path } : { address: address.host, port: address.port }),
    hint: hintFor(op, code),
  })
}

function hintFor(op: SocketRequest['op'], code: string): string | undefined {
  if (op === 'connect' && code === 'ECONNREFUSED') {
    return 'nothing listens there (yet): container.waitFor({ port }) waits until something does.'
  }
  return code === 'EADDRINUSE' ? 'something in the container listens there already: choose another port.' : undefined
}
