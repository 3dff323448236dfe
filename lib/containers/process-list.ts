// SPDX-License-Identifier: MIT
import type { HostProcess } from '../host/process-table.ts'

/** What {@link Container.top} tells: the processes of a container, with the columns of `ps -ef`. */
export interface ContainerProcessList {
  /** `UID`, `PID`, `PPID`, `C`, `STIME`, `TTY`, `TIME`, `CMD` */
  readonly titles: readonly string[]
  /** One text per title. Ids are those of the host. */
  readonly processes: readonly (readonly string[])[]
}

const kTitles = ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'] as const
const kDayMs = 86_400_000
const kMonths = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** Lays out processes as `ps -ef` does. Pure, but for the time zone. @param names - of users of the host, by id */
export function processList(
  processes: readonly HostProcess[],
  names: ReadonlyMap<number, string>,
  nowMs: number,
): ContainerProcessList {
  const rows = [...processes]
    .sort((a, b) => a.pid - b.pid)
    .map(({ pid, parent, uid, cpuSeconds, startedMs, terminal, command }) => {
      const aliveSeconds = Math.max((nowMs - startedMs) / 1000, 1)
      const share = Math.min(99, Math.floor((cpuSeconds / aliveSeconds) * 100))
      const user = names.get(uid) ?? String(uid)
      const numbers = [user, String(pid), String(parent), String(share)]
      return [...numbers, startText(startedMs, nowMs), terminal, timeText(cpuSeconds), command]
    })
  return { titles: kTitles, processes: rows }
}

function startText(startedMs: number, nowMs: number): string {
  const started = new Date(startedMs)
  if (nowMs - startedMs < kDayMs) return `${two(started.getHours())}:${two(started.getMinutes())}`
  return `${kMonths[started.getMonth()]}${two(started.getDate())}`
}

function timeText(seconds: number): string {
  const whole = Math.floor(seconds)
  return [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60].map(two).join(':')
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
