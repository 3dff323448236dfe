// SPDX-License-Identifier: MIT

const kNames =
  `HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU
  XFSZ VTALRM PROF WINCH IO PWR SYS`.split(/\s+/)

const kAliases: Readonly<Record<string, string>> = { IOT: 'ABRT', POLL: 'IO', CLD: 'CHLD', UNUSED: 'SYS' }

/** First and last real-time signal as libc counts them: 32 and 33 belong to the thread library. */
const kRealTimeMin = 34
const kRealTimeMax = 64

/**
 * Parses a signal as people and images write it: `'SIGTERM'`, `'term'`, `'15'`, `15`, `'RTMIN+3'`, `'SIGRTMAX-1'`.
 *
 * @returns the number (1 to 64) on x64 and arm64, or `undefined`.
 */
export function parseSignal(signal: string | number): number | undefined {
  if (typeof signal === 'number') return inRange(signal) ? signal : undefined
  if (/^[0-9]{1,3}$/.test(signal)) return parseSignal(Number(signal))
  const name = signal.toUpperCase().replace(/^SIG/, '')
  const realTime = /^RTM(IN|AX)(?:([+-])([0-9]{1,2}))?$/.exec(name)
  if (realTime !== null) return parseRealTime(realTime[1] === 'IN', realTime[2], Number(realTime[3] ?? 0))
  const index = kNames.indexOf(kAliases[name] ?? name)
  return index < 0 ? undefined : index + 1
}

/** Returns the name of a signal, `'SIGTERM'` or `'SIGRTMIN+3'`; `'SIG99'` for a number without one. */
export function signalName(number: number): string {
  const name = kNames[number - 1]
  if (name !== undefined) return `SIG${name}`
  if (number < kRealTimeMin || number > kRealTimeMax) return `SIG${number}`
  return number === kRealTimeMin ? 'SIGRTMIN' : `SIGRTMIN+${number - kRealTimeMin}`
}

function parseRealTime(fromMin: boolean, sign: string | undefined, distance: number): number | undefined {
  if (sign !== undefined && (sign === '+') !== fromMin) return undefined
  const number = fromMin ? kRealTimeMin + distance : kRealTimeMax - distance
  return number >= kRealTimeMin && number <= kRealTimeMax ? number : undefined
}

function inRange(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= kRealTimeMax
}
