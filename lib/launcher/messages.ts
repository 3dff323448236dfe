// SPDX-License-Identifier: MIT
import type { StepFailure } from './step-error.ts'

/** How a process ended. One of `exitCode` and `signal` is null. */
export interface ExitEvent {
  /** 0: the launcher goes on without us, for detached containers. */
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
const kSupervise = 4
const kSuperviseFlags = { detached: 1, stdout: 2, stderr: 4, stdin: 8, stdinOnce: 16, terminal: 32 } as const
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

/** What the launcher does for a container whether or not this process is there. */
export interface Supervision {
  pid: number
  /** Whether the container goes on without this process. */
  detached: boolean
  hasStdout: boolean
  hasStderr: boolean
  /** Whether its input stays open for those who attach; `'once'`: until the first of them leaves. @default false */
  stdin?: 'open' | 'once' | undefined
  /** Whether standard output is the master of a terminal, and its input too. @default false */
  hasTerminal?: boolean | undefined
  /** 0: no limit. */
  maxLogBytes: number
  /** Log files that are kept, the current one included. */
  maxLogFiles: number
  /** cgroup directories to remove at the end. */
  cgroups: readonly string[]
  /** Files that count processes killed for want of memory. */
  oomFiles: readonly string[]
}

/** Hands a container that waits over to the supervisor: native/protocol.h's SuperviseHeader. */
export function superviseRequest(supervision: Supervision): Uint8Array {
  const { pid, detached, hasStdout, hasStderr, maxLogBytes, maxLogFiles, cgroups, oomFiles } = supervision
  const flag = (set: boolean, bit: number): number => (set ? bit : 0)
  const entries = joined([...oomFiles.map((path) => `o${path}`), ...cgroups.map((path) => `c${path}`)])
  const payload = Buffer.alloc(kSuperviseHeaderSize + entries.length)
  payload.writeInt32LE(pid, 0)
  const bits = kSuperviseFlags
  const flags = [
    flag(detached, bits.detached),
    flag(hasStdout, bits.stdout),
    flag(hasStderr, bits.stderr),
    flag(supervision.stdin !== undefined, bits.stdin),
    flag(supervision.stdin === 'once', bits.stdinOnce),
    flag(supervision.hasTerminal === true, bits.terminal),
  ]
  payload.writeUInt32LE(
    flags.reduce((all, each) => all | each, 0),
    4,
  )
  payload.writeBigUInt64LE(BigInt(maxLogBytes), 8)
  payload.writeUInt32LE(maxLogFiles, 16)
  payload.set(entries, kSuperviseHeaderSize)
  return request(kSupervise, 0, payload)
}

const kSuperviseHeaderSize = 24

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
