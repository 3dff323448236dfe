// SPDX-License-Identifier: MIT
import { findExecutable, requireSuccess } from '../command.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

/** `bwrap --unshare-all`: namespaces and mounts, but no cgroup, no seccomp filter and no writable layer. */
export class BubblewrapSubject implements Subject {
  readonly name = 'bwrap'
  readonly #args: readonly string[]
  #executable = ''

  constructor(context: SubjectContext) {
    this.#args = ['--unshare-all', '--bind', context.rootfs, '/', '--proc', '/proc', '--dev', '/dev', '/bin/true']
  }

  async prepare(): Promise<void> {
    this.#executable = (await findExecutable('bwrap')) ?? ''
    if (this.#executable === '') throw new SkipError('bwrap is not installed')
  }

  async trial(): Promise<void> {
    await requireSuccess(this.#executable, this.#args)
  }

  async dispose(): Promise<void> {
    // Nothing was made.
  }
}
