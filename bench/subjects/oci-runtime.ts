// SPDX-License-Identifier: MIT
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findExecutable, requireSuccess } from '../command.ts'
import { isHybridHost, removeCgroups } from '../files.ts'
import { bundleConfig, kDefaultCapabilities } from '../oci-bundle.ts'
import { resolveDockerSeccomp } from '../seccomp.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

/** How many bundles there are, and so how many containers may run at once: each needs a cgroup of its own. */
const kSlots = 16
const kFirstHostId = 100_000

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
    if (process.getuid?.() !== 0) throw new SkipError(`${this.name} needs root here`)
    this.#executable = (await findExecutable(this.name)) ?? ''
    if (this.#executable === '') throw new SkipError(`${this.name} is not installed`)
    if (this.name === 'crun' && (await isHybridHost())) throw new SkipError('crun refuses a host with cgroup v1 and v2')
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
    const { seccompSource, rootfs, cgroupName } = this.#context
    const options = {
      rootfs,
      args: ['/bin/true'],
      cgroupsPath: `/${cgroupName}/${slot}`,
      firstHostId: kFirstHostId,
    }
    const seccomp =
      seccompSource === undefined
        ? {}
        : { seccomp: resolveDockerSeccomp(seccompSource, process.arch, kDefaultCapabilities) }
    await mkdir(this.#bundle(slot), { recursive: true })
    await writeFile(join(this.#bundle(slot), 'config.json'), JSON.stringify(bundleConfig({ ...options, ...seccomp })))
    this.#freeSlots.push(slot)
  }

  #bundle(slot: number): string {
    return join(this.#context.directory, `bundle-${slot}`)
  }
}
