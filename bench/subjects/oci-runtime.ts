// SPDX-License-Identifier: MIT
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { requireSuccess } from '../command.ts'
import { removeCgroups } from '../files.ts'
import type { Subject, SubjectContext } from '../subject.ts'
import { findRuntime, writeBundle } from './oci-common.ts'

/** How many bundles there are, and so how many containers may run at once: each needs a cgroup of its own. */
const kSlots = 64

/** `crun run` or `runc run` of a bundle that is made beforehand; the root is a plain directory, not an overlay. */
export class OciRuntimeSubject implements Subject {
  readonly name: 'crun' | 'runc'
  readonly #context: SubjectContext
  readonly #freeSlots: number[] = []
  #executable = ''
  #input: FileHandle | undefined

  constructor(name: 'crun' | 'runc', context: SubjectContext) {
    this.name = name
    this.#context = context
  }

  async prepare(): Promise<void> {
    this.#executable = await findRuntime(this.name)
    for (let slot = 0; slot < kSlots; slot++) await this.#makeBundle(slot)
  }

  async trial(): Promise<void> {
    const slot = this.#freeSlots.pop()
    if (slot === undefined) throw new Error(`more than ${kSlots} runs at once`)
    try {
      const id = `${this.#context.cgroupName}-${slot}`
      const state = join(this.#context.directory, 'state')
      // An empty file, not /dev/null: these runtimes give standard input to the container's user, and it would be the host's.
      this.#input ??= await open(join(this.#context.directory, 'input'), 'w+')
      await requireSuccess(this.#executable, ['--root', state, 'run', '--bundle', this.#bundle(slot), id], {
        inputFd: this.#input.fd,
      })
    } finally {
      this.#freeSlots.push(slot)
    }
  }

  async dispose(): Promise<void> {
    await this.#input?.close()
    this.#input = undefined
    await removeCgroups(this.#context.cgroupName)
  }

  async #makeBundle(slot: number): Promise<void> {
    const cgroupsPath = `/${this.#context.cgroupName}/${slot}`
    await writeBundle(this.#bundle(slot), this.#context, { args: ['/bin/true'], cgroupsPath })
    this.#freeSlots.push(slot)
  }

  #bundle(slot: number): string {
    return join(this.#context.directory, `bundle-${slot}`)
  }
}
