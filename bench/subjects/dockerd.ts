// SPDX-License-Identifier: MIT
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { findExecutable } from '../command.ts'
import { isHybridHost } from '../files.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'
import { DockerDaemon } from './docker-daemon.ts'

const kImage = 'wherry-bench:latest'

/** A request to the daemon. */
interface Call {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  json?: object
  tar?: string
}

/**
 * The daemon's HTTP API as dockerode uses it: create, start, wait, logs; no network. Removal is work after the trial, which
 * counts only back to back. Connections are kept open, which is in the daemon's favour. By node:http, as dockerode does it:
 * another client would make this process larger.
 */
export class DockerdSubject implements Subject {
  readonly name = 'dockerd'
  readonly #context: SubjectContext
  readonly #finished: string[] = []
  readonly #agent = new Agent({ keepAlive: true })
  #daemon: DockerDaemon | undefined

  constructor(context: SubjectContext) {
    this.#context = context
  }

  async prepare(): Promise<void> {
    const executable = await findExecutable('dockerd')
    if (executable === undefined) throw new SkipError('dockerd is not installed')
    if (process.getuid?.() !== 0) throw new SkipError('dockerd needs root')
    if (await isHybridHost()) throw new SkipError('dockerd refuses a host with cgroup v1 and v2')
    this.#daemon = new DockerDaemon(this.#context)
    await this.#daemon.start(executable, () => this.#call({ method: 'GET', path: '/_ping' }))
    const [repository, tag] = kImage.split(':')
    const path = `/images/create?fromSrc=-&repo=${repository}&tag=${tag}`
    await this.#call({ method: 'POST', path, tar: this.#context.rootfsTar })
  }

  async trial(): Promise<void> {
    const json = { Image: kImage, Cmd: ['/bin/true'], HostConfig: { NetworkMode: 'none' } }
    const { Id: id } = (await this.#call({ method: 'POST', path: '/containers/create', json })) as { Id: string }
    await this.#call({ method: 'POST', path: `/containers/${id}/start` })
    const ended = (await this.#call({ method: 'POST', path: `/containers/${id}/wait` })) as { StatusCode: number }
    await this.#call({ method: 'GET', path: `/containers/${id}/logs?stdout=1&stderr=1` })
    this.#finished.push(id)
    if (ended.StatusCode !== 0) throw new Error(`the container ended with exit code ${ended.StatusCode}`)
  }

  /** Starts a container that does nothing. It ends with the daemon's directory. @returns its id */
  async startIdle(): Promise<string> {
    const json = { Image: kImage, Cmd: ['/bin/sleep', '86400'], HostConfig: { NetworkMode: 'none' } }
    const { Id: id } = (await this.#call({ method: 'POST', path: '/containers/create', json })) as { Id: string }
    await this.#call({ method: 'POST', path: `/containers/${id}/start` })
    return id
  }

  /** Ends it and removes it. */
  async removeIdle(id: string): Promise<void> {
    await this.#call({ method: 'DELETE', path: `/containers/${id}?force=1` })
  }

  async afterTrial(): Promise<void> {
    for (const id of this.#finished.splice(0)) await this.#call({ method: 'DELETE', path: `/containers/${id}` })
  }

  async dispose(): Promise<void> {
    this.#agent.destroy()
    await this.#daemon?.stop()
  }

  async #call({ method, path, json, tar }: Call): Promise<unknown> {
    const headers = { 'content-type': tar === undefined ? 'application/json' : 'application/x-tar' }
    const socketPath = this.#daemon?.socket
    const outgoing = request({ socketPath, agent: this.#agent, method, path, headers })
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
    if (tar === undefined) outgoing.end(json === undefined ? '' : JSON.stringify(json))
    else await Promise.all([answered, pipeline(createReadStream(tar), outgoing)])
    const [response] = await answered
    const answer = await text(response)
    const status = response.statusCode ?? 0
    if (status >= 300 && status !== 304) throw new Error(`dockerd answered ${status}: ${answer.trim()}`)
    // An import answers with several lines of JSON, which nobody needs.
    return tar === undefined && answer.startsWith('{') ? JSON.parse(answer) : answer
  }
}
