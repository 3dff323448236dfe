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

  protected constructor(engine: Engine, id: string) {
    super(engine, id)
    this.#engine = engine
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
}
