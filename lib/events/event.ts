// SPDX-License-Identifier: MIT
import * as v from 'valibot'
import { parseJson, textsByName } from '../store/json.ts'

/** What an event happened to. */
export type EventType = 'container' | 'image' | 'volume'

/** Something that happened on a root, in whatever process. */
export interface EngineEvent {
  readonly type: EventType
  /** In Docker's words: `create`, `start`, `die`, `health_status`, … */
  readonly action: string
  /** Of a container; the digest of an image's configuration; the name of a volume. */
  readonly id: string
  /** As it was then; for an image the reference that was used, where there was one. */
  readonly name: string
  /** When it happened, ISO 8601. */
  readonly time: string
  /** Labels of a container, `image`, and what belongs to the action: `exitCode`, `signal`, … */
  readonly attributes: Readonly<Record<string, string>>
}

/** An event that is yet to be told. */
export type NewEvent = Omit<EngineEvent, 'time' | 'attributes'> & {
  /** @default now */
  readonly time?: string | undefined
  readonly attributes?: Readonly<Record<string, string | undefined>> | undefined
  /** Names the run of a container that ended, so that an end which is told twice counts once. */
  readonly run?: string | undefined
}

/** An event as it is in the log. */
export interface LoggedEvent extends EngineEvent {
  readonly run?: string | undefined
}

/** Longest line of the log, in bytes: such a one is written by a single call. */
const kMaxLineBytes = 16 * 1024

/** Completes an event. Pure but for the clock. */
export function makeEvent({ type, action, id, name, time, attributes = {}, run }: NewEvent): LoggedEvent {
  const given = Object.entries(attributes).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const event = {
    type,
    action,
    id,
    name,
    time: time ?? new Date().toISOString(),
    attributes: Object.fromEntries(given),
  }
  return run === undefined ? event : { ...event, run }
}

/** What users see of an event. */
export function publicEvent({ type, action, id, name, time, attributes }: LoggedEvent): EngineEvent {
  return { type, action, id, name, time, attributes }
}

/** One line of JSON. Attributes that would make it too long are left out, the longest first. */
export function formatEvent(event: LoggedEvent): string {
  const kept = Object.entries(event.attributes).sort((a, b) => a.join().length - b.join().length)
  for (;;) {
    const line = JSON.stringify({ ...event, attributes: Object.fromEntries(kept) })
    if (kept.length === 0 || Buffer.byteLength(line) < kMaxLineBytes) return line
    kept.pop()
  }
}

const eventSchema = v.object({
  type: v.picklist(['container', 'image', 'volume']),
  action: v.string(),
  id: v.string(),
  name: v.string(),
  time: v.string(),
  attributes: textsByName,
  run: v.exactOptional(v.string()),
})

/** @returns `undefined` for what is no event: a disk that was full has cut a line, or it is of another version. */
export function parseEvent(line: string): LoggedEvent | undefined {
  return parseJson(eventSchema, line)
}
