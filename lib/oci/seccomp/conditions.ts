// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../../errors.ts'
import type { SeccompOperator } from '../runtime-spec.ts'
import { type BackwardProgram, type BpfPosition, kBpf } from './bpf.ts'

/** One comparison of one argument as an unsigned 64-bit number. */
export interface SeccompCondition64 {
  index: number
  op: SeccompOperator
  value: bigint
  valueTwo: bigint
}

/** Offset of `args[0]` in struct seccomp_data; each is 8 bytes, low word first on the machines we know. */
const kArgsOffset = 16

const low = (value: bigint): number => Number(value & 0xffffffffn)
const high = (value: bigint): number => Number(value >> 32n)

/** Adds code that tests a condition and goes to one of two positions. */
export function emitCondition(
  program: BackwardProgram,
  condition: SeccompCondition64,
  whenTrue: BpfPosition,
  whenFalse: BpfPosition,
): BpfPosition {
  switch (condition.op) {
    case 'SCMP_CMP_EQ':
      return emitEqual(program, condition, whenTrue, whenFalse)
    case 'SCMP_CMP_NE':
      return emitEqual(program, condition, whenFalse, whenTrue)
    case 'SCMP_CMP_GT':
      return emitOrder(program, condition, kBpf.jumpGreater, whenTrue, whenFalse)
    case 'SCMP_CMP_GE':
      return emitOrder(program, condition, kBpf.jumpGreaterOrEqual, whenTrue, whenFalse)
    case 'SCMP_CMP_LE':
      return emitOrder(program, condition, kBpf.jumpGreater, whenFalse, whenTrue)
    case 'SCMP_CMP_LT':
      return emitOrder(program, condition, kBpf.jumpGreaterOrEqual, whenFalse, whenTrue)
    case 'SCMP_CMP_MASKED_EQ':
      return emitMasked(program, condition, whenTrue, whenFalse)
    default:
      throw new InvalidOptionError('seccomp.args.op', "a comparison such as 'SCMP_CMP_EQ'", condition.op)
  }
}

function emitEqual(program: BackwardProgram, c: SeccompCondition64, yes: BpfPosition, no: BpfPosition): BpfPosition {
  const offset = kArgsOffset + 8 * c.index
  program.branch(kBpf.jumpEqual, low(c.value), yes, no)
  const lowWord = program.load(offset)
  program.branch(kBpf.jumpEqual, high(c.value), lowWord, no)
  return program.load(offset + 4)
}

/** `lowCode` decides between words that are equal above; the high words are always compared with "greater". */
function emitOrder(
  program: BackwardProgram,
  { index, value }: SeccompCondition64,
  lowCode: number,
  yes: BpfPosition,
  no: BpfPosition,
): BpfPosition {
  const offset = kArgsOffset + 8 * index
  program.branch(lowCode, low(value), yes, no)
  const lowWord = program.load(offset)
  const equal = program.branch(kBpf.jumpEqual, high(value), lowWord, no)
  program.branch(kBpf.jumpGreater, high(value), yes, equal)
  return program.load(offset + 4)
}

function emitMasked(program: BackwardProgram, c: SeccompCondition64, yes: BpfPosition, no: BpfPosition): BpfPosition {
  const offset = kArgsOffset + 8 * c.index
  const word = (mask: number, wanted: number, wordOffset: number, then: BpfPosition): BpfPosition => {
    // A word outside the mask needs no look.
    if (mask === 0) return then
    program.branch(kBpf.jumpEqual, wanted, then, no)
    if (mask !== 0xffffffff) program.and(mask)
    return program.load(wordOffset)
  }
  // As in libseccomp, bits of the wanted value outside the mask do not count.
  const wanted = c.value & c.valueTwo
  const lowWord = word(low(c.value), low(wanted), offset, yes)
  return word(high(c.value), high(wanted), offset + 4, lowWord)
}
