// SPDX-License-Identifier: MIT
import { allowManyListeners } from './async/many-listeners.ts'
import { endParts } from './container-management.ts'
import { EndWatcher } from './containers/end-watcher.ts'
import type { Engine } from './engine.ts'
import { type EngineEvent, publicEvent } from './events/event.ts'
import { checkEventFilters, type EventFilters } from './events/event-filters.ts'
import type { LogPosition } from './events/event-log.ts'
import { EventReader } from './events/event-reader.ts'
import { checkMoment, checkObject, kMaxTimerMs } from './options/checks.ts'

/** Options of {@link Engine.events}. */
export interface EngineEventOptions {
  filters?: EventFilters | undefined
  /** Also events that were told before, from this moment on: a date, its ISO form, or milliseconds since 1970. @default only new ones */
  since?: Date | string | number | undefined
  /** Ends with this moment. One that has passed: with what there is. @default never */
  until?: Date | string | number | undefined
  signal?: AbortSignal | undefined
}

interface EventQuery {
  readonly fits: (event: EngineEvent) => boolean
  readonly untilMs: number
  readonly signal: AbortSignal | undefined
}

/** See {@link Engine.events}. */
export function engineEvents(
  engine: Engine,
  options: EngineEventOptions,
): AsyncGenerator<EngineEvent, void, undefined> {
  checkObject('', options, ['filters', 'since', 'until', 'signal'])
  const fitsFilters = checkEventFilters(options.filters)
  const sinceMs = checkMoment('since', options.since)
  const untilMs = checkMoment('until', options.until) ?? Number.POSITIVE_INFINITY
  const fits = (event: EngineEvent): boolean => {
    const timeMs = Date.parse(event.time)
    return (sinceMs === undefined || timeMs >= sinceMs) && timeMs < untilMs && fitsFilters(event)
  }
  // Now, and not when somebody asks for the first one.
  const from = sinceMs === undefined ? engine.store.events.end() : Promise.resolve(undefined)
  from.catch(() => undefined)
  return tellEvents(engine, from, { fits, untilMs, signal: options.signal })
}

async function* tellEvents(
  engine: Engine,
  from: Promise<LogPosition | undefined>,
  { fits, untilMs, signal }: EventQuery,
): AsyncGenerator<EngineEvent, void, undefined> {
  const stop = new AbortController()
  const over = new Error('The time is up.')
  const unlink = link(stop, [signal, engine.closing])
  const leftMs = untilMs - Date.now()
  const timer = leftMs > 0 && leftMs < kMaxTimerMs ? setTimeout(() => stop.abort(over), leftMs) : undefined
  try {
    const ends = new EndWatcher(endParts(engine), stop.signal)
    if (leftMs > 0) await ends.watchAll()
    const reader = new EventReader(engine.store.events.files, await from)
    const pick = (event: EngineEvent): boolean => {
      if (leftMs > 0 && event.type === 'container' && event.action === 'start') ends.watch(event.id)
      return fits(event)
    }
    try {
      for await (const events of reader.read({ follow: leftMs > 0, signal: stop.signal })) {
        yield* events.filter(pick).map(publicEvent)
      }
    } catch (error) {
      if (error !== over) throw error
      for await (const events of reader.read({ follow: false })) yield* events.filter(pick).map(publicEvent)
    }
  } finally {
    clearTimeout(timer)
    unlink()
    stop.abort(over)
  }
}

/** Passes aborts on. @returns what ends that */
function link(controller: AbortController, signals: readonly (AbortSignal | undefined)[]): () => void {
  const undo = signals.map((signal) => {
    if (signal !== undefined) allowManyListeners(signal)
    const abort = (): void => controller.abort(signal?.reason)
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    return () => signal?.removeEventListener('abort', abort)
  })
  return () => {
    for (const each of undo) each()
  }
}
