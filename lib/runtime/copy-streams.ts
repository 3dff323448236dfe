// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'

/**
 * Copies with back-pressure, and leaves the target open: it is the caller's. When the target takes no more, the pipe is closed,
 * and the program gets SIGPIPE as in a shell.
 */
export async function copyOut(source: Readable, target: Writable): Promise<void> {
  const stop = (): void => {
    source.destroy()
  }
  target.once('close', stop).once('error', stop)
  if (target.destroyed || target.writableEnded || target.errored !== null) stop()
  else source.pipe(target, { end: false })
  await finished(source, { writable: false }).catch(() => undefined)
  target.off('close', stop).off('error', stop)
}

/** A source that fails or is destroyed ends the input. */
export function pipeInto(source: Readable, input: Writable): void {
  if (source.destroyed) {
    input.end()
    return
  }
  source.once('error', () => input.destroy()).once('close', () => input.end())
  source.pipe(input)
}
