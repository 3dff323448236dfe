// SPDX-License-Identifier: MIT
import { Readable } from 'node:stream'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { FromPacker, ToPacker } from '../layer/pack-protocol.ts'

/**
 * The bytes that a job of a thread sends by a port, as a stream. The job begins when the stream is read, gets ahead of the reader so
 * far as its window goes, and ends with the stream.
 */
export function portStream(
  run: (port: MessagePort, signal: AbortSignal) => Promise<unknown>,
  signal: AbortSignal | undefined,
): Readable {
  return Readable.from(received(run, signal), { objectMode: false, highWaterMark: 1 })
}

async function* received(
  run: (port: MessagePort, signal: AbortSignal) => Promise<unknown>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  signal?.throwIfAborted()
  const { port1, port2 } = new MessageChannel()
  const stop = new AbortController()
  const abort = (): void => stop.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  const queue: FromPacker[] = []
  let wake = (): void => {}
  let failure: { readonly error: unknown } | undefined
  port1.on('message', (message: FromPacker) => {
    queue.push(message)
    wake()
  })
  const running = run(port2, stop.signal)
  running.catch((error: unknown) => {
    failure = { error }
    wake()
  })
  try {
    for (;;) {
      const message = queue.shift()
      if (message === null) break
      if (message === undefined) {
        if (failure !== undefined) throw failure.error
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      } else {
        yield Buffer.from(message)
        port1.postMessage(message.byteLength satisfies ToPacker)
      }
    }
    await running
  } finally {
    signal?.removeEventListener('abort', abort)
    stop.abort()
    port1.close()
    await running.catch(() => undefined)
  }
}
