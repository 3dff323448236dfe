// SPDX-License-Identifier: MIT
import { defaultMaxListeners, type EventEmitter, getMaxListeners, setMaxListeners } from 'node:events'

/** Many pulls, runs or waits may share one signal, and many blobs the one of their pull; Node would take eleven listeners for a leak. */
const kManyListeners = 1_500

/** Lets many listen to a signal or a stream without a warning. */
export function allowManyListeners(signal: AbortSignal | EventEmitter): void {
  // What the caller has set stays.
  if (getMaxListeners(signal) === defaultMaxListeners) setMaxListeners(kManyListeners, signal)
}
