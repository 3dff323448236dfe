// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { isErrno } from '../store/atomic.ts'

/** One process of the host, as `ps -ef` tells of it. */
export interface HostProcess {
  readonly pid: number
  readonly parent: number
  /** Of the host. */
  readonly uid: number
  /** Seconds that it has had of processors. */
  readonly cpuSeconds: number
  /** Milliseconds since 1970. */
  readonly startedMs: number
  /** Such as `pts/0`; `?` without one. */
  readonly terminal: string
  /** Its arguments; its name in brackets where there are none. */
  readonly command: string
}

/** USER_HZ, which is 100 on every architecture we run on. */
const kTicksPerSecond = 100
const kPtsMajors = { first: 136, last: 143 }

/** Looks at processes; those that end meanwhile are left out. */
export async function hostProcesses(pids: readonly number[]): Promise<HostProcess[]> {
  const bootMs = Number(/^btime (\d+)$/m.exec(await readFile('/proc/stat', 'latin1'))?.[1] ?? 0) * 1000
  const found = await Promise.all(pids.map((pid) => hostProcess(pid, bootMs)))
  return found.filter((each) => each !== undefined)
}

async function hostProcess(pid: number, bootMs: number): Promise<HostProcess | undefined> {
  try {
    const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8')
    const [stat, status, arguments_] = await Promise.all([read('stat'), read('status'), read('cmdline')])
    return parseProcess(pid, { stat, status, arguments: arguments_, bootMs })
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

/** Reads the files of /proc. Pure. @source man 5 proc */
export function parseProcess(
  pid: number,
  texts: { stat: string; status: string; arguments: string; bootMs: number },
): HostProcess {
  const { stat } = texts
  // The name is in parentheses, and may contain anything, parentheses too.
  const end = stat.lastIndexOf(')')
  const fields = stat
    .slice(end + 2)
    .split(' ')
    .map(Number)
  const words = texts.arguments.replace(/\0+$/, '').split('\0').join(' ')
  return {
    pid,
    parent: fields[1] ?? 0,
    uid: Number(/^Uid:\s+\d+\s+(\d+)/m.exec(texts.status)?.[1] ?? 0),
    cpuSeconds: ((fields[11] ?? 0) + (fields[12] ?? 0)) / kTicksPerSecond,
    startedMs: texts.bootMs + ((fields[19] ?? 0) * 1000) / kTicksPerSecond,
    terminal: terminalName(fields[4] ?? 0),
    command: words === '' ? `[${stat.slice(stat.indexOf('(') + 1, end)}]` : words,
  }
}

function terminalName(device: number): string {
  const major = (device >> 8) & 0xfff
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00)
  if (major >= kPtsMajors.first && major <= kPtsMajors.last) return `pts/${(major - kPtsMajors.first) * 256 + minor}`
  return device === 0 ? '?' : `tty${minor}`
}
