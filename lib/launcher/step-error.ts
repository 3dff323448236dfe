// SPDX-License-Identifier: MIT
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { SyscallError } from '../errors.ts'
import type { Step } from '../plan/ops.ts'

/** Where a plan failed: the call, and the kernel's answer. */
export interface StepFailure {
  /** 0 for the first plan of a child, 1 for the second. */
  section: number
  step: number
  errno: number
  call: string
}

/** Turns a failed step into words. `hint` may say more than the errno does. */
export function stepError(failure: StepFailure, step: Step | undefined, hint?: string): SyscallError {
  const [code, text] = errnoName(failure.errno)
  return new SyscallError(`Cannot ${step?.intent ?? 'start the container'}`, {
    code,
    errno: failure.errno,
    syscall: failure.call,
    args: step === undefined ? '' : describeArguments(step),
    text,
    step: step?.op,
    hint,
  })
}

/** "Too many users": the limit of nested user namespaces. Node does not name it. */
const kEusers = 87

/** Name and text of a positive errno. */
export function errnoName(errno: number): [code: string, text: string] {
  const known = getSystemErrorMap().get(-errno)
  if (known !== undefined) return known
  // libuv has no names for some, ENOEXEC among them.
  const name =
    errno === kEusers ? 'EUSERS' : Object.entries(constants.errno).find(([, number]) => number === errno)?.[0]
  return [name ?? `E${errno}`, name === 'ENOEXEC' ? 'exec format error' : `error ${errno}`]
}

/** Only text that is a path or a type: environments, files and filters stay out of messages. */
function describeArguments(step: Step): string {
  if (step.op === 'exec') return JSON.stringify(step.strings[0])
  if (step.op === 'write_file' || step.op === 'sysctl' || step.op === 'clone') return ''
  const texts = step.strings.filter((text): text is string => typeof text === 'string' && text !== '')
  return texts
    .slice(0, 4)
    .map((text) => JSON.stringify(text))
    .join(', ')
}
