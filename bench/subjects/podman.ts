// SPDX-License-Identifier: MIT
import { findExecutable } from '../command.ts'
import { removeCgroups } from '../files.ts'
import { PodmanStorage } from '../podman-storage.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

const kImage = 'localhost/wherry-bench:latest'

/** `podman run --rm --network=none` from a storage of its own. */
export class PodmanSubject implements Subject {
  readonly name = 'podman'
  readonly #context: SubjectContext
  #storage: PodmanStorage | undefined

  constructor(context: SubjectContext) {
    this.#context = context
  }

  async prepare(): Promise<void> {
    if ((await findExecutable('podman')) === undefined) throw new SkipError('podman is not installed')
    this.#storage = await PodmanStorage.make(this.#context.directory)
    await this.#storage.podman(['import', '--quiet', this.#context.rootfsTar, kImage])
  }

  async trial(): Promise<void> {
    // A root without CAP_SYS_RESOURCE cannot raise limits to the defaults that podman asks for.
    const limits = [
      '--cgroup-parent',
      `/${this.#context.cgroupName}`,
      '--ulimit',
      'nofile=1024:1024',
      '--ulimit',
      'nproc=1000:1000',
    ]
    await this.#storage?.podman(['run', '--rm', '--network=none', ...limits, kImage, '/bin/true'])
  }

  async dispose(): Promise<void> {
    if (this.#storage === undefined) return
    await this.#storage.unmount()
    await removeCgroups(this.#context.cgroupName)
  }
}
