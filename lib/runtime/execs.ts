// SPDX-License-Identifier: MIT
import { randomBytes } from 'node:crypto'
import type { Launcher } from '../launcher/launcher.ts'
import type { Native } from '../launcher/native.ts'
import { ExecProfiles } from './exec-profiles.ts'
import { type ExecSlotOptions, ExecSlots } from './exec-slots.ts'
import { ExecTargets } from './exec-target.ts'
import { ExecUsers } from './exec-users.ts'

const kPrefixBytes = 6

/** What one program in a running container leaves for the next. */
export class Execs {
  readonly users: ExecUsers
  readonly targets: ExecTargets
  readonly profiles: ExecProfiles
  readonly slots: ExecSlots
  /** No other process has it. */
  readonly #prefix = `exec-${randomBytes(kPrefixBytes).toString('hex')}`
  #count = 0

  constructor(native: Native, launcher: Launcher, options: ExecSlotOptions) {
    this.users = new ExecUsers(native)
    this.targets = new ExecTargets(native)
    this.profiles = new ExecProfiles()
    this.slots = new ExecSlots(launcher, options)
  }

  /** A name for what belongs to one program. */
  nextName(): string {
    return `${this.#prefix}-${this.#count++}`
  }

  async close(): Promise<void> {
    await this.slots.close()
    this.targets.close()
  }
}
