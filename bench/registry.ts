// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Debian's docker-registry on a free port of loopback, with a data directory of its own. */
export class BenchRegistry {
  /** `127.0.0.1:port` */
  readonly host: string
  readonly #child: ChildProcess
  readonly #directory: string

  private constructor(host: string, child: ChildProcess, directory: string) {
    this.host = host
    this.#child = child
    this.#directory = directory
  }

  static async start(directory: string): Promise<BenchRegistry> {
    await mkdir(directory, { recursive: true })
    const lines = [
      'version: 0.1',
      'log: {level: info, accesslog: {disabled: true}}',
      `storage: {filesystem: {rootdirectory: ${directory}/data}}`,
      'http: {addr: "127.0.0.1:0"}',
    ]
    const config = join(directory, 'config.yml')
    await writeFile(config, `${lines.join('\n')}\n`)
    const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] })
    for await (const line of createInterface({ input: child.stderr })) {
      const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1]
      if (host === undefined) continue
      child.stderr.resume()
      return new BenchRegistry(host, child, directory)
    }
    throw new Error('docker-registry did not start')
  }

  /** Lists its repositories. */
  async repositories(): Promise<readonly string[]> {
    const answer = await fetch(`http://${this.host}/v2/_catalog`)
    if (!answer.ok) throw new Error(`docker-registry answered ${answer.status}: ${await answer.text()}`)
    return ((await answer.json()) as { repositories: string[] }).repositories
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await ended
    }
    await rm(this.#directory, { recursive: true, force: true })
  }
}
