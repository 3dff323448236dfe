// SPDX-License-Identifier: MIT
import { kSyscallsArm64 } from '../syscalls-arm64.ts'
import { kSyscallsX64 } from '../syscalls-x64.ts'
import { kSyscallsX86 } from './syscalls-x86.ts'

/** A system call interface a filter can be compiled for. */
export type SeccompArch = 'x64' | 'x86' | 'arm64'

/** What is known of one system call interface. */
export interface SeccompArchInfo {
  /** Value of seccomp_data.arch (AUDIT_ARCH_…). */
  audit: number
  /** Name in config.json. */
  scmp: string
  /** Name in the `arches` of a Docker profile. */
  docker: string
  /** System call numbers by name. */
  numbers: ReadonlyMap<string, number>
}

/** Reads a table of lines `number name name …` into a map from name to number. */
export function parseSyscallTable(text: string): Map<string, number> {
  const numbers = new Map<string, number>()
  for (const line of text.trim().split('\n')) {
    const [first, ...names] = line.split(' ')
    for (const [offset, name] of names.entries()) numbers.set(name, Number(first) + offset)
  }
  return numbers
}

const kSources: Readonly<Record<SeccompArch, readonly [audit: number, scmp: string, docker: string, table: string]>> = {
  x64: [0xc000003e, 'SCMP_ARCH_X86_64', 'amd64', kSyscallsX64],
  x86: [0x40000003, 'SCMP_ARCH_X86', 'x86', kSyscallsX86],
  arm64: [0xc00000b7, 'SCMP_ARCH_AARCH64', 'arm64', kSyscallsArm64],
}

const kArchInfo = new Map<SeccompArch, SeccompArchInfo>()

/** Returns numbers and names of an interface. The table is parsed at first use and never changes afterwards. */
export function seccompArchInfo(arch: SeccompArch): SeccompArchInfo {
  let info = kArchInfo.get(arch)
  if (info === undefined) {
    const [audit, scmp, docker, table] = kSources[arch]
    info = { audit, scmp, docker, numbers: parseSyscallTable(table) }
    kArchInfo.set(arch, info)
  }
  return info
}
