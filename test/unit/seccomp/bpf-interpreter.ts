// SPDX-License-Identifier: MIT

/** What the kernel hands to a filter. */
export interface SeccompData {
  nr: number
  arch: number
  args: readonly bigint[]
}

/** Result of a run: the returned value and the number of instructions and conditional jumps it took. */
export interface BpfRun {
  value: number
  instructions: number
  branches: number
}

/** Runs a filter as the kernel does, and refuses what the kernel's checker refuses. */
export function runBpf(program: Uint8Array, data: SeccompData): BpfRun {
  const memory = new DataView(new ArrayBuffer(64))
  memory.setUint32(0, data.nr >>> 0, true)
  memory.setUint32(4, data.arch, true)
  data.args.forEach((arg, index) => {
    memory.setBigUint64(16 + index * 8, BigInt.asUintN(64, arg), true)
  })
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const count = program.byteLength / 8
  let accumulator = 0
  let instructions = 0
  let branches = 0
  for (let pc = 0; pc < count; ) {
    instructions++
    const op = code.getUint16(pc * 8, true)
    const k = code.getUint32(pc * 8 + 4, true)
    const jump = (taken: boolean): void => {
      branches++
      pc += 1 + code.getUint8(pc * 8 + (taken ? 2 : 3))
    }
    if (op === 0x20) {
      if (k % 4 !== 0 || k > 60) throw new Error(`load outside of seccomp_data at ${k}`)
      accumulator = memory.getUint32(k, true)
      pc++
    } else if (op === 0x54) {
      accumulator = (accumulator & k) >>> 0
      pc++
    } else if (op === 0x05) pc += 1 + k
    else if (op === 0x15) jump(accumulator === k)
    else if (op === 0x25) jump(accumulator > k)
    else if (op === 0x35) jump(accumulator >= k)
    else if (op === 0x06) return { value: k, instructions, branches }
    else throw new Error(`operation ${op} is not one the compiler uses`)
  }
  throw new Error('ran off the end')
}
