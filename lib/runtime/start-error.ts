// SPDX-License-Identifier: MIT
import { ContainerStartError, SyscallError } from '../errors.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'

/** Says what failed; the hint stays last, and is there once. */
export function setUpError(failed: string, error: SyscallError, exitCode: 125 | 126 | 127 = 125): ContainerStartError {
  const { hint, step } = error
  const reason = hint === undefined ? error.message : error.message.replace(` Hint: ${hint}`, '')
  return new ContainerStartError(`${failed}: ${reason}`, { exitCode, step, hint, cause: error })
}

const kNotExecutable = new Set(['EACCES', 'ENOEXEC', 'EISDIR', 'EPERM'])

/**
 * Turns the failure of a plan that ends in a program into words, with the exit code that a shell would report.
 *
 * @param words.failed - what to say of a step before the last one
 * @param words.where - where the program was looked for
 */
export function startError(error: unknown, spec: RuntimeSpec, words: { failed: string; where: string }): unknown {
  if (!(error instanceof SyscallError)) return error
  if (error.step !== 'exec') return setUpError(words.failed, error)
  const [program = ''] = spec.process.args
  if (error.code === 'ENOENT') return notFound(error, program, spec, words.where)
  const exitCode = kNotExecutable.has(error.code) ? 126 : 125
  const reason = {
    ENOEXEC: 'its format is unknown (another architecture, or a script without #!)',
    EISDIR: 'it is a directory',
    EACCES: 'permission denied',
    E2BIG: 'its arguments and environment are too long together, or one of them is longer than 128 KiB',
  }[error.code]
  return new ContainerStartError(
    `Cannot run ${JSON.stringify(program)}: ${reason === undefined ? error.message : `${reason}.`}`,
    {
      exitCode,
      step: 'exec',
      cause: error,
    },
  )
}

function notFound(error: SyscallError, program: string, spec: RuntimeSpec, where: string): ContainerStartError {
  const path = spec.process.env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const message = error.syscall.includes('interpreter')
    ? `Cannot run ${JSON.stringify(program)}: it exists, but the interpreter or loader that it names does not.`
    : program.includes('/')
      ? `Cannot run ${JSON.stringify(program)}: there is no such file in the ${where}.`
      : `Cannot run ${JSON.stringify(program)}: not found in PATH (${path}).`
  return new ContainerStartError(message, { exitCode: 127, step: 'exec', cause: error })
}
