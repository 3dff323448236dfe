// SPDX-License-Identifier: MIT
import type { SeccompAction, SeccompArg } from './runtime-spec.ts'

/** When a rule of a profile applies: all `caps`, one of `arches` (`'amd64'`, `'arm64'`, …), kernel at least `minKernel`. */
export interface SeccompCondition {
  caps?: readonly string[] | null
  arches?: readonly string[] | null
  minKernel?: string | null
}

/** One rule of a profile in Docker's JSON format. */
export interface SeccompProfileRule {
  names?: readonly string[]
  name?: string
  action: SeccompAction
  errnoRet?: number
  args?: readonly SeccompArg[] | null
  comment?: string
  includes?: SeccompCondition | null
  excludes?: SeccompCondition | null
}

/**
 * A seccomp profile in Docker's JSON format: rules that may depend on capabilities, architecture and kernel.
 *
 * @source https://docs.docker.com/engine/security/seccomp/
 */
export interface SeccompProfile {
  defaultAction: SeccompAction
  defaultErrnoRet?: number
  architectures?: readonly string[] | null
  archMap?: readonly { architecture: string; subArchitectures?: readonly string[] | null }[] | null
  flags?: readonly string[] | null
  syscalls?: readonly SeccompProfileRule[] | null
}
