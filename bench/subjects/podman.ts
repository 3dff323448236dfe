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
    await this.#run(['--rm'], ['/bin/true'])
  }

  /** Starts a container that does nothing. @returns its id */
  async startIdle(): Promise<string> {
    return (await this.#run(['--detach'], ['/bin/sleep', '86400'])) ?? ''
  }

  /** Ends it and removes it. */
  async removeIdle(id: string): Promise<void> {
    await this.#storage?.podman(['rm', '--force', '--time', '0', id])
  }

  #run(flags: readonly string[], command: readonly string[]): Promise<string> | undefined {
    // A root without CAP_SYS_RESOURCE cannot raise limits to the defaults that podman asks for.
    const limits = [
      '--cgroup-parent',
      `/${this.#context.cgroupName}`,
      '--ulimit',
      'nofile=1024:1024',
      '--ulimit',
      'nproc=1000:1000',
    ]
    return this.#storage?.podman(['run', ...flags, '--network=none', ...limits, kImage, ...command])
  }

  async dispose(): Promise<void> {
    if (this.#storage === undefined) return
    await this.#storage.unmount()
    await removeCgroups(this.#context.cgroupName)
  }
}
