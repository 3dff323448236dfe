// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import { allowManyListeners } from './many-listeners.ts'

/**
 * Pipes into a target that is not ours to end. Once it takes no more, what still comes is dropped: whoever writes must not wait for
 * a reader that has gone.
 *
 * @returns lets go of the target
 */
export function pipeWhileRead(source: Readable, target: Writable): () => void {
  allowManyListeners(target)
  const onUnpipe = (unpiped: Readable): void => {
    if (unpiped === source) source.resume()
  }
  target.on('unpipe', onUnpipe)
  if (target.destroyed || target.writableEnded) source.resume()
  else source.pipe(target, { end: false })
  return () => {
    target.off('unpipe', onUnpipe)
  }
}
