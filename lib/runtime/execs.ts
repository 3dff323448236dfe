// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import type { Native } from '../launcher/native.ts'
import { ExecProfiles } from './exec-profiles.ts'
import { ExecTargets } from './exec-target.ts'
import { ExecUsers } from './exec-users.ts'

const kPrefixBytes = 6

/** What one program in a running container leaves for the next. */
export class Execs {
  readonly users: ExecUsers
  readonly targets: ExecTargets
  readonly profiles: ExecProfiles
  /** No other process has it. */
  readonly #prefix = `exec-${randomBytes(kPrefixBytes).toString('hex')}`
  #count = 0

  constructor(native: Native) {
    this.users = new ExecUsers(native)
    this.targets = new ExecTargets(native)
    this.profiles = new ExecProfiles()
  }

  /** A name for what belongs to one program. */
  nextName(): string {
    return `${this.#prefix}-${this.#count++}`
  }

  close(): void {
    this.targets.close()
  }
}
