// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { cgroupMounts, isThere, readIfThere, removeCgroups } from '../files.ts'
import { SkipError, type SubjectContext } from '../subject.ts'

const kStartMs = 20_000
const kStopMs = 15_000
/** What dockerd and its containerd make on a host, wherever their own directories are: removed if it was not there before. */
const kHostFiles = ['/etc/docker/key.json']
const kHostDirectories = ['/etc/docker', '/opt/containerd/bin', '/opt/containerd/lib', '/opt/containerd']
/** The parent of containers' cgroups by default. */
const kDefaultParent = 'docker'

/** A dockerd of the benchmark's own: nothing of the host's one is read, and nothing is left of it. */
export class DockerDaemon {
  readonly #directory: string
  readonly #cgroupName: string
  readonly #made: string[] = []
  #hadParent = true
  #child: ChildProcess | undefined

  constructor({ directory, cgroupName }: Pick<SubjectContext, 'directory' | 'cgroupName'>) {
    this.#directory = directory
    this.#cgroupName = cgroupName
  }

  /** Path of its socket. */
  get socket(): string {
    return join(this.#directory, 'docker.sock')
  }

  /**
   * Starts it and waits until `ping` succeeds.
   * @throws {SkipError} with the last line of its log when it does not start here
   */
  async start(executable: string, ping: () => Promise<unknown>): Promise<void> {
    await mkdir(this.#directory, { recursive: true })
    await this.#look()
    const log = join(this.#directory, 'dockerd.log')
    // Mounts in a namespace of its own, and an end with this process, however that ends.
    const prefix = ['--pdeathsig', 'TERM', 'unshare', '--mount', executable]
    const child = spawn('setpriv', [...prefix, ...(await this.#flags())], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error))
    failed.catch(() => undefined)
    void pipeline(child.stderr, createWriteStream(log)).catch(() => undefined)
    await Promise.race([this.#untilReady(child, log, ping), failed])
  }

  /** Ends it, and removes what it made outside of its directory. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), kStopMs)
      await exited
      clearTimeout(timer)
    }
    await removeCgroups(this.#cgroupName)
    if (!this.#hadParent) await removeCgroups(kDefaultParent)
    for (const path of this.#made.splice(0)) {
      // Somebody else's by now, or not made after all: then it stays, or is not there.
      if (kHostFiles.includes(path)) await rm(path, { force: true })
      else await rmdir(path).catch(() => undefined)
    }
  }

  async #look(): Promise<void> {
    for (const path of [...kHostFiles, ...kHostDirectories]) if (!(await isThere(path))) this.#made.push(path)
    const parents = await Promise.all((await cgroupMounts()).map(({ path }) => isThere(join(path, kDefaultParent))))
    this.#hadParent = parents.includes(true)
  }

  async #flags(): Promise<string[]> {
    const at = (name: string) => join(this.#directory, name)
    await writeFile(at('daemon.json'), '{}')
    return [
      ['--config-file', at('daemon.json'), '--host', `unix://${this.socket}`],
      ['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('dockerd.pid')],
      ['--cgroup-parent', `/${this.#cgroupName}`, '--storage-driver', 'overlay2'],
      ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
    ].flat()
  }

  async #untilReady(child: ChildProcess, log: string, ping: () => Promise<unknown>): Promise<void> {
    const deadline = performance.now() + kStartMs
    while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
      if (await isThere(this.socket)) {
        const answers = await ping().then(
          () => true,
          () => false,
        )
        if (answers) return
      }
      await delay(100)
    }
    const lastLine = (await readIfThere(log))?.trim().split('\n').at(-1) ?? ''
    throw new SkipError(`dockerd does not start: ${lastLine.slice(0, 160)}`)
  }
}
