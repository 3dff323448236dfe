// SPDX-License-Identifier: MIT
import type { MessagePort } from 'node:worker_threads'
import { ConflictError, IntegrityError, LayerError, SyscallError, WherryError } from '../errors.ts'
import type { RingMemory } from './chunk-ring.ts'
import type { LayerSummary } from './decode-layer.ts'
import type { GrowingFileHandle } from './growing-file.ts'
import type { UnpackResult, UnpackStreamOptions } from './unpack-stream.ts'

/** Bytes of a stream on their way to the feeding thread at one time. */
export const kWindowBytes = 4 * 1024 * 1024

/** Given to both threads of a pair at their start. */
export interface ThreadInput {
  ring: RingMemory
  /** Between the two: the feeder says here how each layer ended. */
  port: MessagePort
}

/** Where the feeding thread gets a layer's bytes: a file, one that grows, or messages ({@link ToFeeder}). */
export type FeedSource =
  | { kind: 'file'; path: string }
  | { kind: 'growing'; handle: GrowingFileHandle }
  | { kind: 'messages'; port: MessagePort }

/** One layer, to the feeding thread. */
export interface FeedJob {
  id: number
  layer: string
  source: FeedSource
}

/** What the feeder tells the writer, before the ring ends. */
export type FeedOutcome = { id: number; summary: LayerSummary } | { id: number; error: PackedError }

/** One layer, to the writing thread. */
export interface WriteJob {
  id: number
  options: UnpackStreamOptions
  /** What a thread of the addon is to read; `undefined` where the feeding thread does. */
  source: Exclude<FeedSource, { kind: 'messages' }> | undefined
}

/** `end`: there is no more; `stop`: no more will come. */
export type ToFeeder = { kind: 'chunk'; bytes: ArrayBuffer } | { kind: 'end' } | { kind: 'stop' }
export interface FromFeeder {
  kind: 'consumed'
  bytes: number
}

/**
 * What either thread says to the owner when it has nothing more to do with a job; the result is the writer's. `needsFeeder`: the
 * addon's thread could not read this layer, and nothing of it was written.
 */
export type JobReport = { id: number; result?: UnpackResult; error?: PackedError; needsFeeder?: boolean }

/** An error as plain data: a class does not survive the way between threads. */
export interface PackedError {
  className: string
  message: string
  fields: Record<string, unknown>
}

const kClasses: Record<string, { prototype: WherryError }> = {
  ConflictError,
  IntegrityError,
  LayerError,
  SyscallError,
  WherryError,
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { className: 'Error', message: String(error), fields: {} }
  const { cause, ...fields } = { ...error, cause: error.cause }
  const plain = Object.entries(fields).filter(([, value]) => value === undefined || typeof value !== 'object')
  const packed: Record<string, unknown> = Object.fromEntries(plain)
  if (cause !== undefined) packed.cause = cause instanceof Error ? packError(cause) : String(cause)
  return { className: error.constructor.name, message: error.message, fields: packed }
}

/** Rebuilds an error with its class, message and fields. */
export function unpackError(packed: PackedError): Error {
  const error = new Error(packed.message)
  const { cause, ...fields } = packed.fields
  const owner = kClasses[packed.className]
  // The constructors take what makes up a message, which is made already.
  if (owner !== undefined) Object.setPrototypeOf(error, owner.prototype)
  for (const [key, value] of Object.entries({ name: packed.className, ...fields })) {
    Object.defineProperty(error, key, { value, enumerable: key !== 'name', writable: true, configurable: true })
  }
  if (cause !== undefined) {
    const value = typeof cause === 'string' ? cause : unpackError(cause as PackedError)
    Object.defineProperty(error, 'cause', { value, enumerable: false, writable: true, configurable: true })
  }
  return error
}
