// SPDX-License-Identifier: MIT
import { chooseSeccomp, type SeccompChoice } from '../build-spec.ts'
import type { RuntimeSeccomp } from '../runtime-spec.ts'
import type { SeccompProfile } from '../seccomp-profile.ts'
import { compileSeccomp } from './compile-seccomp.ts'

/** Most default filters kept: one for each set of capabilities in use. */
const kMaxKept = 64

/**
 * Keeps chosen and compiled filters, because most containers of an engine have the same one and making it takes as long as
 * loading it. Both methods answer what the pure functions answer; the results are shared and must not be changed.
 */
export class SeccompCache {
  readonly #byProfile = new WeakMap<SeccompProfile, Map<string, RuntimeSeccomp>>()
  readonly #ofDefault = new Map<string, RuntimeSeccomp>()
  readonly #programs = new WeakMap<RuntimeSeccomp, Map<string, Uint8Array>>()

  /** Picks the filter of a container, as {@link chooseSeccomp} does. To be passed to {@link buildRuntimeSpec}. */
  readonly choose = (choice: SeccompChoice): RuntimeSeccomp | undefined => {
    const kept = this.#keptFor(choice.options.seccomp)
    const { host, capabilities, imageArchitecture, options } = choice
    const key = [options.privileged, host.arch, host.kernel, imageArchitecture, ...capabilities].join(' ')
    const known = kept.get(key)
    if (known !== undefined) return known
    const chosen = chooseSeccomp(choice)
    if (chosen !== undefined) {
      if (kept.size >= kMaxKept) kept.clear()
      kept.set(key, chosen)
    }
    return chosen
  }

  /** Compiles a filter, as {@link compileSeccomp} does; one that this cache has chosen, only once. */
  compile(seccomp: RuntimeSeccomp, arch: 'x64' | 'arm64'): Uint8Array {
    let programs = this.#programs.get(seccomp)
    if (programs === undefined) {
      programs = new Map()
      this.#programs.set(seccomp, programs)
    }
    let program = programs.get(arch)
    if (program === undefined) {
      program = compileSeccomp(seccomp, arch)
      programs.set(arch, program)
    }
    return program
  }

  #keptFor(seccomp: SeccompChoice['options']['seccomp']): Map<string, RuntimeSeccomp> {
    // No filter, nothing to keep.
    if (seccomp === 'unconfined') return new Map()
    if (seccomp === 'default') return this.#ofDefault
    let kept = this.#byProfile.get(seccomp)
    if (kept === undefined) {
      kept = new Map()
      this.#byProfile.set(seccomp, kept)
    }
    return kept
  }
}
