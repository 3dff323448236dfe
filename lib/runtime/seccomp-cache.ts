// SPDX-License-Identifier: MIT
import { chooseSeccomp, type SeccompChoice } from '../oci/build-spec.ts'
import type { RuntimeSeccomp } from '../oci/runtime-spec.ts'
import { compileSeccomp } from '../oci/seccomp/compile-seccomp.ts'

const kMaxEntries = 64

/** Filters already chosen and compiled: both take milliseconds, and most containers of an engine have the same one. */
export class SeccompCache {
  readonly #arch: 'x64' | 'arm64'
  readonly #chosen = new Map<string, RuntimeSeccomp | undefined>()
  readonly #compiled = new WeakMap<RuntimeSeccomp, Uint8Array>()

  constructor(arch: 'x64' | 'arm64') {
    this.#arch = arch
  }

  readonly choose = (choice: SeccompChoice): RuntimeSeccomp | undefined => {
    const { options, host, capabilities } = choice
    if (typeof options.seccomp === 'object') return chooseSeccomp(choice)
    const key = `${options.seccomp} ${options.privileged} ${host.kernel} ${capabilities.join()}`
    if (!this.#chosen.has(key)) {
      if (this.#chosen.size >= kMaxEntries) this.#chosen.clear()
      this.#chosen.set(key, chooseSeccomp(choice))
    }
    return this.#chosen.get(key)
  }

  compile(seccomp: RuntimeSeccomp | undefined): Uint8Array | undefined {
    if (seccomp === undefined) return undefined
    let filter = this.#compiled.get(seccomp)
    if (filter === undefined) {
      filter = compileSeccomp(seccomp, this.#arch)
      this.#compiled.set(seccomp, filter)
    }
    return filter
  }
}
