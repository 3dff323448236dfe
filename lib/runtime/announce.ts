// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import type { LauncherChild } from '../launcher/launcher-child.ts'
import { parseSignal } from '../oci/signals.ts'
import type { RunningProgram } from '../options/exec-options.ts'
import type { Stop } from './stop.ts'

/** Tells the caller that the program runs. @returns what the callback threw: the program is on its way out then. */
export function announce(
  child: LauncherChild,
  tell: (program: RunningProgram) => void,
  stop: Stop,
): { error: unknown } | undefined {
  const kill = (killSignal: string | number): void => {
    const number = parseSignal(killSignal)
    if (number === undefined) throw new InvalidOptionError('killSignal', "a signal such as 'SIGTERM' or 15", killSignal)
    child.kill(number)
  }
  try {
    tell({ pid: child.pid, kill })
    return undefined
  } catch (error) {
    stop.request('callback')
    return { error }
  }
}
