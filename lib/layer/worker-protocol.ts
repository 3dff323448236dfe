// SPDX-License-Identifier: MIT
import { ConflictError, IntegrityError, LayerError, SyscallError, WherryError } from '../errors.ts'
import type { OwnerMap } from './entry-metadata.ts'
import type { GrowingFileHandle } from './growing-file.ts'
import type { LayerLimits } from './limits.ts'
import type { UnpackResult } from './unpack-stream.ts'

/** Bytes on their way to the worker at one time. */
export const kWindowBytes = 4 * 1024 * 1024

/** Given to the worker at its start. */
export interface WorkerInput {
  /** A file that the worker reads itself. Without this and {@link growing}, chunks come as messages. */
  path: string | undefined
  growing: GrowingFileHandle | undefined
  layer: string
  targetDir: string
  limits: LayerLimits
  ownerMap: OwnerMap
  expectedDigest: string | undefined
  expectedDiffId: string | undefined
  durable: boolean
  /** One Int32: not 0 when the work is to stop. */
  stop: SharedArrayBuffer
}

/** `end`: there is no more; `stop` only wakes the worker. */
export type ToWorker = { kind: 'chunk'; bytes: ArrayBuffer } | { kind: 'end' } | { kind: 'stop' }

export type FromWorker =
  | { kind: 'consumed'; bytes: number }
  | { kind: 'done'; result: UnpackResult }
  | { kind: 'failed'; error: PackedError }

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
