// SPDX-License-Identifier: MIT
import { kOps, type Step } from './ops.ts'

const kMagic = 0x59524857
const kVersion = 1
const kHeaderSize = 16
const kStepHeaderSize = 8

const opNumbers = new Map<string, number>(kOps.map((name, index) => [name, index]))
const encoder = new TextEncoder()

/**
 * Encodes steps for the launcher: the layout of native/plan.h, little-endian, every string followed by NUL and padded to
 * eight bytes. The same steps give the same bytes.
 */
export function encodePlan(steps: readonly Step[]): Uint8Array {
  const strings = steps.map(({ strings }) => strings.map(toBytes))
  const sizes = steps.map(({ integers }, i) => stepSize(integers.length, strings[i] ?? []))
  const size = sizes.reduce((sum, n) => sum + n, kHeaderSize)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, kMagic, true)
  view.setUint16(4, kVersion, true)
  view.setUint16(6, steps.length, true)
  view.setUint32(8, size, true)
  let offset = kHeaderSize
  steps.forEach(({ op, integers }, i) => {
    const texts = strings[i] ?? []
    const length = sizes[i] ?? 0
    view.setUint16(offset, opNumbers.get(op) ?? 0xffff, true)
    view.setUint8(offset + 2, integers.length)
    view.setUint8(offset + 3, texts.length)
    view.setUint32(offset + 4, length, true)
    let at = offset + kStepHeaderSize
    for (const integer of integers) {
      view.setBigInt64(at, BigInt(integer), true)
      at += 8
    }
    for (const text of texts) {
      view.setUint32(at, text.length, true)
      bytes.set(text, at + 4)
      at += pad8(4 + text.length + 1)
    }
    offset += length
  })
  return bytes
}

/** Joins strings as exec wants them: each followed by NUL. */
export function nulTerminated(values: readonly string[]): Uint8Array {
  return encoder.encode(values.map((value) => `${value}\0`).join(''))
}

function toBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? encoder.encode(value) : value
}

function stepSize(integers: number, strings: readonly Uint8Array[]): number {
  return strings.reduce((sum, text) => sum + pad8(4 + text.length + 1), kStepHeaderSize + 8 * integers)
}

function pad8(n: number): number {
  return (n + 7) & ~7
}
