// SPDX-License-Identifier: MIT
import { allowManyListeners } from '../async/many-listeners.ts'

/** Why we end what runs. */
export type StopReason = 'timeout' | 'abort' | 'overflow' | 'callback'

/** Why a program gets killed by us; remembers a wish that comes before there is anything to kill. */
export class Stop {
  reason: StopReason | undefined
  /** Settles at the first wish. */
  readonly requested: Promise<void>
  #resolveRequested: () => void = () => {}
  #kill: (() => void) | undefined

  constructor() {
    this.requested = new Promise((resolve) => {
      this.#resolveRequested = resolve
    })
  }

  request(reason: StopReason): void {
    this.reason ??= reason
    this.#resolveRequested()
    this.#kill?.()
  }

  arm(kill: () => void): void {
    this.#kill = kill
    if (this.reason !== undefined) kill()
  }
}

/** Requests a stop when the signal is aborted or the time is up. @returns what ends the watching */
export function watchStop(
  { signal, timeoutMs }: { signal: AbortSignal | null; timeoutMs: number | null },
  stop: Stop,
): () => void {
  const onAbort = (): void => stop.request('abort')
  if (signal !== null) allowManyListeners(signal)
  signal?.addEventListener('abort', onAbort, { once: true })
  const timer = timeoutMs === null ? undefined : setTimeout(() => stop.request('timeout'), timeoutMs)
  return () => {
    signal?.removeEventListener('abort', onAbort)
    clearTimeout(timer)
  }
}
