// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { requireSuccess } from '../command.ts'
import { removeCgroups } from '../files.ts'
import type { Subject, SubjectContext } from '../subject.ts'
import { findRuntime, type OciRuntime, writeBundle } from './oci-common.ts'

/** `crun exec` or `runc exec` in a container that is there beforehand. */
export class OciExecSubject implements Subject {
  readonly name: OciRuntime
  readonly #context: SubjectContext
  readonly #id: string
  #executable = ''
  /** For all streams: an empty file, not /dev/null, which these runtimes would give to the container's user, the host's own. */
  #file: FileHandle | undefined

  constructor(name: OciRuntime, context: SubjectContext) {
    this.name = name
    this.#context = context
    this.#id = `${context.cgroupName}-exec`
  }

  async prepare(): Promise<void> {
    this.#executable = await findRuntime(this.name)
    const bundle = join(this.#context.directory, 'bundle')
    const cgroupsPath = `/${this.#context.cgroupName}/exec`
    await writeBundle(bundle, this.#context, { args: ['/bin/sleep', '86400'], cgroupsPath })
    this.#file = await open(join(this.#context.directory, 'streams'), 'w+')
    const { fd } = this.#file
    // The container keeps its streams: with pipes nobody would ever see their end.
    const args = [...this.#state(), 'run', '--detach', '--bundle', bundle, this.#id]
    const child = spawn(this.#executable, args, { stdio: [fd, fd, fd] })
    const [exitCode] = (await once(child, 'exit')) as [number | null]
    if (exitCode !== 0) throw new Error(`${this.name} run --detach ended with exit code ${exitCode}`)
  }

  async trial(): Promise<void> {
    await requireSuccess(this.#executable, [...this.#state(), 'exec', this.#id, '/bin/true'], {
      inputFd: this.#file?.fd,
    })
  }

  async dispose(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
    if (this.#executable === '') return
    await requireSuccess(this.#executable, [...this.#state(), 'delete', '--force', this.#id]).catch(() => undefined)
    await removeCgroups(this.#context.cgroupName)
  }

  #state(): string[] {
    return ['--root', join(this.#context.directory, 'state')]
  }
}
