// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import { withLinkedSignal } from '../async/linked-signal.ts'
import { allowManyListeners } from '../async/many-listeners.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'

type CallerOptions = Pick<NormalizedContainerOptions, 'stdin' | 'stdout' | 'stderr' | 'signal'>

/**
 * Runs `work` with options whose signal is aborted too when one of the caller's streams fails: a program that got half of its input,
 * or lost half of its output, must not pass for one that did its work. Watching begins before this returns, because a stream may fail
 * long before a program runs, and an error that nobody listens for ends the whole process.
 */
export function withCallerStreams<O extends CallerOptions, T>(
  options: O,
  work: (options: O) => Promise<T>,
): Promise<T> {
  const streams = streamsOf(options)
  if (streams.size === 0) return work(options)
  const controller = new AbortController()
  const fail = (error: unknown): void => {
    // A reader that has gone is told to the program in the way of the system: SIGPIPE, when it goes on writing.
    if ((error as NodeJS.ErrnoException | null)?.code !== 'EPIPE') controller.abort(error)
  }
  for (const stream of streams) {
    allowManyListeners(stream)
    if (stream.errored !== null) fail(stream.errored)
    else stream.once('error', fail)
  }
  return withLinkedSignal(options.signal ?? undefined, controller, () =>
    work({ ...options, signal: controller.signal }),
  ).finally(() => {
    for (const stream of streams) stream.off('error', fail)
  })
}

function streamsOf({ stdin, stdout, stderr }: CallerOptions): Set<Readable | Writable> {
  const outputs = [stdout, stderr].filter((output) => typeof output === 'object')
  return new Set(stdin.kind === 'stream' ? [stdin.stream, ...outputs] : outputs)
}
