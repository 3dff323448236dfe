// SPDX-License-Identifier: MIT
import { getSystemErrorMap } from 'node:util'
import { SyscallError, WherryError } from '../errors.ts'

/**
 * Turns Node's error of a failed system call into a {@link SyscallError}; any other is returned as it is.
 *
 * @param intent - what was being done, such as `Loading images from a.tar`.
 * @param otherwise - hint where the error itself has none.
 */
export function hostError(intent: string, error: unknown, otherwise?: string): unknown {
  if (error instanceof WherryError || !(error instanceof Error)) return error
  const { code, errno, syscall, path } = error as NodeJS.ErrnoException
  if (code === undefined || errno === undefined || syscall === undefined) return error
  const text = getSystemErrorMap().get(errno)?.[1]
  const hint =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'free space on that file system; engine.diskUsage() and engine.prune() help in the store'
      : otherwise
  return new SyscallError(intent, {
    code,
    errno: Math.abs(errno),
    syscall,
    ...(path === undefined ? {} : { args: path, path }),
    ...(text === undefined ? {} : { text }),
    hint,
    cause: error,
  })
}
