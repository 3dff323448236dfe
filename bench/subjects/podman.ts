// SPDX-License-Identifier: MIT
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { findExecutable, requireSuccess, runCommand } from '../command.ts'
import { removeCgroups } from '../files.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

const kImage = 'localhost/wherry-bench:latest'

/** `podman run --rm --network=none` from a storage of its own. */
export class PodmanSubject implements Subject {
  readonly name = 'podman'
  readonly #context: SubjectContext
  #executable = ''

  constructor(context: SubjectContext) {
    this.#context = context
  }

  async prepare(): Promise<void> {
    this.#executable = (await findExecutable('podman')) ?? ''
    if (this.#executable === '') throw new SkipError('not installed')
    await mkdir(join(this.#context.directory, 'tmp'), { recursive: true })
    await this.#podman(['import', '--quiet', this.#context.rootfsTar, kImage])
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
    await this.#podman(['run', '--rm', '--network=none', ...limits, kImage, '/bin/true'])
  }

  async dispose(): Promise<void> {
    if (this.#executable === '') return
    await runCommand(this.#executable, [...this.#storage(), 'system', 'reset', '--force'], { env: this.#environment() })
    await removeCgroups(this.#context.cgroupName)
  }

  #podman(args: readonly string[]): Promise<string> {
    return requireSuccess(this.#executable, [...this.#storage(), ...args], { env: this.#environment() })
  }

  #storage(): string[] {
    const { directory } = this.#context
    return [
      '--root',
      join(directory, 'storage'),
      '--runroot',
      join(directory, 'run'),
      '--tmpdir',
      join(directory, 'tmp'),
      '--cgroup-manager',
      'cgroupfs',
      '--events-backend',
      'none',
    ]
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, TMPDIR: join(this.#context.directory, 'tmp') }
  }
}
