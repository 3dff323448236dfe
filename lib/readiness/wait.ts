// SPDX-License-Identifier: MIT
import { withTimeLimit } from '../async/deadline.ts'
import { withLinkedSignal } from '../async/linked-signal.ts'
import { orAborted } from '../async/or-aborted.ts'
import { ContainerEndedError, TimeoutError } from '../errors.ts'
import type { NormalizedCondition } from '../options/wait-options.ts'
import { lastLines, type WaitProbes, Watcher } from './watcher.ts'

/** How long to wait. */
export interface WaitSettings {
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Waits until a condition holds for one run of a container.
 *
 * @throws {TimeoutError} that says what was seen last. @throws {ContainerEndedError} when it has ended without that.
 * @throws `signal.reason` on abort.
 */
export async function waitForCondition(
  probes: WaitProbes,
  condition: NormalizedCondition,
  { timeoutMs, signal }: WaitSettings,
): Promise<void> {
  const over = new AbortController()
  const seen = new Map<NormalizedCondition, string>()
  const what = `Waiting for ${condition.label} of container ${probes.name}`
  const timeout = new Error('time is up')
  const watcher = new Watcher(probes, seen, over.signal)
  try {
    await withTimeLimit(
      timeoutMs,
      () => timeout,
      signal,
      (limit) => withLinkedSignal(limit, over, () => hold(watcher, condition)),
    )
  } catch (error) {
    if (error !== timeout) throw error
    throw new TimeoutError(what, timeoutMs, await describe(probes, seen))
  } finally {
    // The container's end may still be waited for.
    over.abort(new Error('nobody waits any more'))
  }
}

/** Resolves when a condition holds. */
async function hold(watcher: Watcher, condition: NormalizedCondition): Promise<void> {
  if (condition.kind !== 'all' && condition.kind !== 'any') return await watcher.watch(condition)
  const { kind, parts } = condition
  // The rest is not wanted any more as soon as the whole is decided.
  const rest = new AbortController()
  await withLinkedSignal(watcher.signal, rest, async () => {
    const all = parts.map((each) => hold(watcher.with(rest.signal), each))
    try {
      await (kind === 'all' ? Promise.all(all) : firstOf(all, watcher.signal))
    } finally {
      rest.abort(new Error('decided'))
      // Nothing of it goes on behind our back.
      await Promise.allSettled(all)
    }
  })
}

async function firstOf(all: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  const first = Promise.any(all)
  first.catch(() => undefined)
  try {
    await orAborted(first, signal)
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error
    // All have failed, most often by the same end of the container.
    throw error.errors.find((each) => each instanceof ContainerEndedError) ?? error.errors[0]
  }
}

async function describe(probes: WaitProbes, seen: ReadonlyMap<NormalizedCondition, string>): Promise<string> {
  const parts = [...seen].map(([{ label }, text]) => `${label}: ${text}`)
  return [parts.length === 0 ? '' : `Last seen: ${parts.join('; ')}.`, await lastLines(probes)]
    .filter((text) => text !== '')
    .join(' ')
}
