// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { findExecutable } from '../command.ts'
import { isHybridHost, isThere, readIfThere, removeCgroups } from '../files.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

const kImage = 'wherry-bench:latest'
const kStartMs = 20_000

/** The daemon's HTTP API as a Node program uses it: create, start, wait, logs; no network. */
export class DockerdSubject implements Subject {
  readonly name = 'dockerd'
  readonly #context: SubjectContext
  readonly #finished: string[] = []
  #daemon: ChildProcess | undefined

  constructor(context: SubjectContext) {
    this.#context = context
  }

  async prepare(): Promise<void> {
    if (process.getuid?.() !== 0) throw new SkipError('needs root')
    const executable = await findExecutable('dockerd')
    if (executable === undefined) throw new SkipError('not installed')
    if (await isHybridHost()) throw new SkipError('refuses a host with cgroup v1 and v2')
    await this.#startDaemon(executable)
    await this.#importImage()
  }

  async trial(): Promise<void> {
    const body = { Image: kImage, Cmd: ['/bin/true'], HostConfig: { NetworkMode: 'none' } }
    const { Id: id } = (await this.#call('POST', '/containers/create', body)) as { Id: string }
    await this.#call('POST', `/containers/${id}/start`)
    const ended = (await this.#call('POST', `/containers/${id}/wait`)) as { StatusCode: number }
    await this.#call('GET', `/containers/${id}/logs?stdout=1&stderr=1`)
    this.#finished.push(id)
    if (ended.StatusCode !== 0) throw new Error(`the container ended with exit code ${ended.StatusCode}`)
  }

  async afterTrial(): Promise<void> {
    for (const id of this.#finished.splice(0)) await this.#call('DELETE', `/containers/${id}`)
  }

  async dispose(): Promise<void> {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
    const exited = once(daemon, 'exit')
    daemon.kill('SIGTERM')
    await exited
    await removeCgroups(this.#context.cgroupName)
  }

  async #startDaemon(executable: string): Promise<void> {
    const { directory } = this.#context
    await mkdir(directory, { recursive: true })
    const log = join(directory, 'dockerd.log')
    const args = [
      ['--host', `unix://${this.#socket}`],
      ['--data-root', join(directory, 'data')],
      ['--exec-root', join(directory, 'exec')],
      ['--pidfile', join(directory, 'dockerd.pid')],
      ['--cgroup-parent', `/${this.#context.cgroupName}`],
      ['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-forward=false'],
    ].flat()
    const daemon = spawn(executable, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#daemon = daemon
    const failed = once(daemon, 'error').then(([error]) => Promise.reject(error as Error))
    failed.catch(() => undefined)
    void pipeline(daemon.stderr, createWriteStream(log)).catch(() => undefined)
    await Promise.race([this.#untilReady(daemon, log), failed])
  }

  async #untilReady(daemon: ChildProcess, log: string): Promise<void> {
    const deadline = performance.now() + kStartMs
    while (performance.now() < deadline && daemon.exitCode === null) {
      if (await isThere(this.#socket)) {
        const answers = await this.#call('GET', '/_ping').then(
          () => true,
          () => false,
        )
        if (answers) return
      }
      await delay(100)
    }
    const lastLine = (await readIfThere(log))?.trim().split('\n').at(-1) ?? ''
    throw new SkipError(`does not start: ${lastLine.slice(0, 160)}`)
  }

  async #importImage(): Promise<void> {
    const path = `/images/create?fromSrc=-&repo=${kImage.split(':')[0]}&tag=latest`
    await answerOf(this.#request('POST', path, 'application/x-tar'), (outgoing) =>
      pipeline(createReadStream(this.#context.rootfsTar), outgoing),
    )
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    const text = await answerOf(this.#request(method, path, 'application/json'), async (outgoing) => {
      outgoing.end(body === undefined ? '' : JSON.stringify(body))
    })
    return text.startsWith('{') ? JSON.parse(text) : text
  }

  #request(method: string, path: string, contentType: string): ClientRequest {
    return request({ socketPath: this.#socket, method, path, headers: { 'content-type': contentType } })
  }

  get #socket(): string {
    return join(this.#context.directory, 'docker.sock')
  }
}

async function answerOf(outgoing: ClientRequest, send: (outgoing: ClientRequest) => Promise<void>): Promise<string> {
  const [[response]] = (await Promise.all([once(outgoing, 'response'), send(outgoing)])) as [[IncomingMessage], unknown]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const status = response.statusCode ?? 0
  if (status >= 300 && status !== 304) throw new Error(`dockerd answered ${status}: ${text.trim()}`)
  return text
}
