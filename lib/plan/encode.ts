// SPDX-License-Identifier: MIT
import { kOps, type Step } from './ops.ts'

const kMagic = 0x59524857
const kVersion = 1
const kHeaderSize = 16
const kStepHeaderSize = 8

const opNumbers = new Map<string, number>(kOps.map((name, index) => [name, index]))

/**
 * Encodes steps for the launcher: the layout of native/plan.h, little-endian, every string followed by NUL and padded to
 * eight bytes. The same steps give the same bytes.
 */
export function encodePlan(steps: readonly Step[]): Uint8Array {
  const size = steps.reduce((sum, step) => sum + sizeOfStep(step), kHeaderSize)
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(kMagic, 0)
  bytes.writeUInt16LE(kVersion, 4)
  bytes.writeUInt16LE(steps.length, 6)
  bytes.writeUInt32LE(size, 8)
  let offset = kHeaderSize
  for (const step of steps) {
    if (step.encoded === undefined) {
      offset = writeStep(bytes, offset, step)
    } else {
      bytes.set(step.encoded, offset)
      offset += step.encoded.length
    }
  }
  return bytes
}

/** Steps that many plans share, with their bytes: plans are made in the caller's event loop, once for every container. */
export function encodeAhead(steps: readonly Step[]): Step[] {
  return steps.map((step) => {
    const encoded = Buffer.alloc(sizeOfStep(step))
    writeStep(encoded, 0, step)
    return { ...step, encoded }
  })
}

/** Joins strings as exec wants them: each followed by NUL. */
export function nulTerminated(values: readonly string[]): Uint8Array {
  return Buffer.from(values.map((value) => `${value}\0`).join(''))
}

/** @returns the offset behind the step */
function writeStep(bytes: Buffer, offset: number, { op, integers, strings }: Step): number {
  bytes.writeUInt16LE(opNumbers.get(op) ?? 0xffff, offset)
  bytes[offset + 2] = integers.length
  bytes[offset + 3] = strings.length
  let at = offset + kStepHeaderSize
  for (const integer of integers) {
    writeInteger(bytes, at, integer)
    at += 8
  }
  for (const text of strings) {
    const length = typeof text === 'string' ? bytes.write(text, at + 4) : text.length
    if (typeof text !== 'string') bytes.set(text, at + 4)
    bytes.writeUInt32LE(length, at)
    at += pad8(4 + length + 1)
  }
  bytes.writeUInt32LE(at - offset, offset + 4)
  return at
}

const kTwoTo32 = 2 ** 32

/** Most integers are small ones, which need no BigInt. */
function writeInteger(bytes: Buffer, at: number, integer: number | bigint): void {
  if (typeof integer === 'number' && Number.isSafeInteger(integer)) {
    bytes.writeUInt32LE(integer >>> 0, at)
    bytes.writeInt32LE(Math.floor(integer / kTwoTo32), at + 4)
  } else {
    bytes.writeBigInt64LE(BigInt(integer), at)
  }
}

function sizeOfStep({ integers, strings, encoded }: Step): number {
  if (encoded !== undefined) return encoded.length
  let size = kStepHeaderSize + 8 * integers.length
  for (const text of strings) size += pad8(4 + (typeof text === 'string' ? Buffer.byteLength(text) : text.length) + 1)
  return size
}

function pad8(n: number): number {
  return (n + 7) & ~7
}
