// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net'
import * as reach from './container-reach.ts'
import * as wait from './container-wait.ts'
import { ContainerFiles } from './container-with-files.ts'
import type { Engine } from './engine.ts'
import type { WaitCondition } from './options/wait-options.ts'

/** A container as far as its network can be reached. */
export abstract class ContainerReach extends ContainerFiles {
  readonly #engine: Engine
  readonly #fetcher: ReturnType<typeof reach.fetcherOf>

  protected constructor(engine: Engine, id: string) {
    super(engine, id)
    this.#engine = engine
    this.#fetcher = reach.fetcherOf(engine, id)
  }

  /**
   * Connects to a port in the running container, straight into its network namespace: nothing is published, and a server that listens
   * on its loopback only is reached too.
   *
   * @param target - a port, `{ port, host }`, or `{ path }` of a Unix socket in the container.
   * @returns a connected socket: the caller's to end. It outlives neither the container nor the other side.
   * @throws {SyscallError} `ECONNREFUSED`, `ENOENT`, … with Node's fields. @throws {ContainerStateError} when it does not run.
   * @throws {TimeoutError}
   * @example
   * const socket = await container.connect(5432)
   */
  connect(target: reach.ConnectTarget, options?: reach.ContainerConnectOptions): Promise<Socket> {
    return reach.connectTo(this.#engine, this.id, target, options)
  }

  /**
   * Waits until the container is ready. Conditions look at its present run from its beginning on: a line that it wrote before this call
   * counts too. Lines are whole lines; ports are tried from inside of its network.
   *
   * @throws {TimeoutError} that says what was seen last. @throws {ContainerEndedError} when it ends before.
   * @throws {ContainerStateError} when it was never started. @throws {InvalidOptionError}
   * @example
   * await container.waitFor({ all: [{ log: /ready to accept connections/ }, { port: 5432 }] })
   */
  waitFor(condition: WaitCondition, options?: wait.ContainerWaitForOptions): Promise<void> {
    return wait.waitForIn(this.#engine, this.id, condition, options)
  }

  /**
   * Fetches from an HTTP server in the running container, as the global `fetch` does, redirects included, which stay inside too. Host
   * names all stand for the container's loopback, and servers see them; addresses are those that the container sees.
   *
   * @param input - a URL, or a path for `http://localhost`.
   * @throws {SyscallError} `ECONNREFUSED`, … @throws {ContainerStateError} when it does not run. @throws what `fetch` throws.
   * @example
   * const response = await container.fetch('http://localhost:8080/status', { method: 'POST', body: 'on' })
   */
  fetch(input: string | URL, init?: RequestInit): Promise<Response> {
    return reach.fetchFrom(this.#fetcher, input, init)
  }

  /**
   * Serves into the running container: its programs find a server of this process at `127.0.0.1` and `::1`, and nobody else does.
   * It ends with the container's run.
   *
   * @param port - `0` takes one that is free; the answer tells which.
   * @param handler - as of `http.createServer`, or `{ connection }`, which gets sockets.
   * @throws {SyscallError} `EADDRINUSE`. @throws {ContainerStateError} when it does not run.
   * @example
   * await using api = await container.expose(8080, (request, response) => response.end('from outside'))
   */
  expose(
    port: number,
    handler: reach.ExposeHandler,
    options?: reach.ContainerExposeOptions,
  ): Promise<reach.ExposedServer> {
    return reach.exposeTo(this.#engine, this.id, port, handler, options)
  }
}
