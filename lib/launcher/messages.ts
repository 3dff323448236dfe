// SPDX-License-Identifier: MIT
import type { StepFailure } from './step-error.ts'

/** How a process ended. One of `exitCode` and `signal` is null. */
export interface ExitEvent {
  pid: number
  exitCode: number | null
  /** Signal number. */
  signal: number | null
  userMicros: number
  systemMicros: number
  maxRssBytes: number
}

/** What a maker or child says on its status socket. */
export type StatusMessage =
  | { kind: 'pid'; pid: number }
  | { kind: 'await' }
  | { kind: 'failed'; failure: StepFailure }
  | { kind: 'pty' }

const kClone = 1
const kCleanup = 2
const kRemove = 3
const kPlanInMemfd = 1
const kStatusKinds = { 1: 'pid', 2: 'await', 3: 'failed', 4: 'pty' } as const

/** Longest plan that travels in the message itself; longer ones go in a memfd. */
export const kMaxInlinePlan = 64 * 1024

/** Puts the request header before a plan. */
export function cloneRequest(plan: Uint8Array, inMemfd: boolean): Uint8Array {
  return request(kClone, inMemfd ? kPlanInMemfd : 0, inMemfd ? new Uint8Array(0) : plan)
}

/** Registers what the launcher removes when this process is gone: paths behind `d`, `c` or `p`. */
export function cleanupRequest(entries: readonly string[]): Uint8Array {
  return request(kCleanup, 0, joined(entries))
}

/** Asks for entries of the same form to be removed now. */
export function removeRequest(entries: readonly string[]): Uint8Array {
  return request(kRemove, 0, joined(entries))
}

/** Reads native/protocol.h's ExitEvent. */
export function parseExitEvent(message: Buffer): ExitEvent {
  const status = message.readInt32LE(4)
  const signal = status & 0x7f
  return {
    pid: message.readInt32LE(0),
    exitCode: signal === 0 ? (status >> 8) & 0xff : null,
    signal: signal === 0 ? null : signal,
    userMicros: Number(message.readBigUInt64LE(8)),
    systemMicros: Number(message.readBigUInt64LE(16)),
    maxRssBytes: Number(message.readBigUInt64LE(24)),
  }
}

/** Reads native/protocol.h's StatusMessage. */
export function parseStatus(message: Buffer): StatusMessage {
  const kind = kStatusKinds[message.readUInt32LE(0) as keyof typeof kStatusKinds]
  if (kind === 'pid') return { kind, pid: message.readInt32LE(4) }
  if (kind === 'await' || kind === 'pty') return { kind }
  const text = message.subarray(20)
  const end = text.indexOf(0)
  return {
    kind: 'failed',
    failure: {
      section: message.readUInt32LE(8),
      step: message.readUInt32LE(12),
      errno: message.readInt32LE(16),
      call: text.toString('latin1', 0, end < 0 ? text.length : end),
    },
  }
}

function joined(entries: readonly string[]): Uint8Array {
  return new TextEncoder().encode(entries.map((entry) => `${entry}\0`).join(''))
}

function request(kind: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, kind, true)
  view.setUint32(4, flags, true)
  bytes.set(payload, 8)
  return bytes
}
