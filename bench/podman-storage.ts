// SPDX-License-Identifier: MIT
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { requireSuccess } from './command.ts'
import { unmountBelow } from './files.ts'

/** A storage of podman's in a directory of its own. What belongs to the user's podman is neither read nor reset. */
export class PodmanStorage {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async make(directory: string): Promise<PodmanStorage> {
    await mkdir(join(directory, 'tmp'), { recursive: true })
    return new PodmanStorage(directory)
  }

  /** Runs `podman` on it; resolves with standard output. */
  podman(args: readonly string[]): Promise<string> {
    const at = (name: string) => join(this.#directory, name)
    const places = ['--root', at('storage'), '--runroot', at('run'), '--tmpdir', at('tmp')]
    // Pinned: where it finds another driver in a configuration file, or chooses vfs, the figures would be of other work.
    const fixed = ['--storage-driver', 'overlay', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none']
    const env = { ...process.env, TMPDIR: at('tmp') }
    return requireSuccess('podman', [...places, ...fixed, ...args], { env })
  }

  /** Takes down what podman leaves mounted, so that the directory can be removed. */
  unmount(): Promise<void> {
    return unmountBelow(this.#directory)
  }
}
