// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { type FromFeeder, kWindowBytes, type ToFeeder } from './worker-protocol.ts'

/** Sends a stream to the feeding thread, never more than {@link kWindowBytes} ahead of it. */
export class Forwarder {
  failure: unknown
  /** The thread's end. */
  readonly port: MessagePort
  readonly #ours: MessagePort
  readonly #source: Readable
  #onTheWay = 0
  #resume: (() => void) | undefined
  #closed = false

  constructor(source: Readable) {
    this.#source = source
    const { port1, port2 } = new MessageChannel()
    this.#ours = port1
    this.port = port2
    port1.on('message', ({ bytes }: FromFeeder) => {
      this.#onTheWay -= bytes
      if (this.#onTheWay < kWindowBytes) this.#resume?.()
    })
  }

  /** @param abort called when the stream fails; the reason is in {@link failure}. */
  start(abort: () => void): void {
    this.#run().catch((error: unknown) => {
      if (this.#closed) return
      this.failure = error
      abort()
    })
  }

  sendStop(): void {
    this.#send({ kind: 'stop' })
  }

  close(): void {
    this.#closed = true
    this.#resume?.()
    this.#ours.close()
    if (!this.#source.readableEnded) this.#source.destroy()
  }

  #send(message: ToFeeder): void {
    this.#ours.postMessage(message, message.kind === 'chunk' ? [message.bytes] : [])
  }

  async #run(): Promise<void> {
    for await (const chunk of this.#source as AsyncIterable<Uint8Array>) {
      if (this.#closed) return
      // A copy: the chunk's own memory may be shared with others who read the stream.
      const bytes = new Uint8Array(chunk).buffer
      this.#onTheWay += bytes.byteLength
      this.#send({ kind: 'chunk', bytes })
      if (this.#onTheWay >= kWindowBytes) {
        await new Promise<void>((done) => {
          this.#resume = done
        })
        this.#resume = undefined
      }
    }
    this.#send({ kind: 'end' })
  }
}
