// SPDX-License-Identifier: MIT
import { WherryError } from '../../errors.ts'

/** One classic BPF instruction, struct sock_filter. */
export interface BpfInstruction {
  code: number
  jt: number
  jf: number
  k: number
}

/** Operation codes of classic BPF that a seccomp filter needs. */
export const kBpf = {
  loadWord: 0x20,
  and: 0x54,
  jump: 0x05,
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterOrEqual: 0x35,
  return: 0x06,
} as const

/** Most instructions the kernel takes in one filter (BPF_MAXINSNS). */
export const kBpfMaxInstructions = 4096

/** A conditional jump reaches at most this many instructions ahead. */
const kMaxConditionalOffset = 255

/** Counts instructions from the end of the program: classic BPF only jumps forwards, so targets exist before jumps do. */
export type BpfPosition = number

/**
 * Builds a program from its last instruction to its first. Each method puts instructions in front of what is there and
 * returns the position of the first of them, for jumps from instructions added later.
 */
export class BackwardProgram {
  readonly #reversed: BpfInstruction[] = []
  readonly #returns = new Map<number, BpfPosition>()

  /** Number of instructions so far. */
  get length(): number {
    return this.#reversed.length
  }

  /** Position of the instruction that a fall-through from the next one added reaches. */
  get first(): BpfPosition {
    return this.#reversed.length - 1
  }

  /** Adds `return value`, or answers an equal one that a conditional jump still reaches. */
  return(value: number): BpfPosition {
    const known = this.#returns.get(value)
    // Some slack: the jump that will use it may come a few instructions earlier.
    if (known !== undefined && this.length - known < kMaxConditionalOffset - 32) return known
    const position = this.#push({ code: kBpf.return, jt: 0, jf: 0, k: value })
    this.#returns.set(value, position)
    return position
  }

  /** Adds a load of the 32-bit word at `offset` of struct seccomp_data; goes on to the instruction that is now first. */
  load(offset: number): BpfPosition {
    return this.#push({ code: kBpf.loadWord, jt: 0, jf: 0, k: offset })
  }

  /** Adds `accumulator &= mask`; goes on to the instruction that is now first. */
  and(mask: number): BpfPosition {
    return this.#push({ code: kBpf.and, jt: 0, jf: 0, k: mask })
  }

  /** Adds a conditional jump, and unconditional ones where a target is too far away for it. */
  branch(code: number, k: number, whenTrue: BpfPosition, whenFalse: BpfPosition): BpfPosition {
    // One instruction of slack, because making one target near moves the other one away by one.
    const near = (target: BpfPosition): BpfPosition =>
      this.length - target - 1 < kMaxConditionalOffset ? target : this.goto(target)
    const jumpTrue = near(whenTrue)
    const jumpFalse = near(whenFalse)
    const at = this.length
    return this.#push({ code, jt: at - jumpTrue - 1, jf: at - jumpFalse - 1, k })
  }

  /** Adds a jump to `target`, however far; nothing when it is next anyway. */
  goto(target: BpfPosition): BpfPosition {
    if (target === this.first) return target
    return this.#push({ code: kBpf.jump, jt: 0, jf: 0, k: this.length - target - 1 })
  }

  /**
   * Encodes the program as an array of struct sock_filter, little endian.
   *
   * @throws {WherryError} `ERR_SECCOMP_TOO_LONG` when the kernel would refuse it for its length.
   */
  encode(): Uint8Array {
    if (this.length > kBpfMaxInstructions) {
      throw new WherryError(
        `The seccomp profile compiles to ${this.length} instructions; the kernel takes ${kBpfMaxInstructions}.`,
        { code: 'ERR_SECCOMP_TOO_LONG', hint: 'use fewer argument rules' },
      )
    }
    const bytes = new Uint8Array(this.length * 8)
    const view = new DataView(bytes.buffer)
    this.#reversed.toReversed().forEach((instruction, index) => {
      view.setUint16(index * 8, instruction.code, true)
      view.setUint8(index * 8 + 2, instruction.jt)
      view.setUint8(index * 8 + 3, instruction.jf)
      view.setUint32(index * 8 + 4, instruction.k, true)
    })
    return bytes
  }

  #push(instruction: BpfInstruction): BpfPosition {
    this.#reversed.push(instruction)
    return this.first
  }
}
