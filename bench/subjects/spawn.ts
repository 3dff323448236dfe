// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import { requireSuccess } from '../command.ts'
import type { Subject, SubjectContext } from '../subject.ts'

/** The yardstick: child_process.spawn of the same binary on the host, no container at all. */
export class SpawnSubject implements Subject {
  readonly name = 'spawn'
  readonly #file: string

  constructor(context: SubjectContext) {
    this.#file = join(context.rootfs, 'bin/true')
  }

  async prepare(): Promise<void> {
    // Nothing to have beforehand: the file is among the fixtures.
  }

  async trial(): Promise<void> {
    await requireSuccess(this.#file, [])
  }

  async dispose(): Promise<void> {
    // Nothing was made.
  }
}
