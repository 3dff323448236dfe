// SPDX-License-Identifier: MIT

import { ContainerAttachments } from './container-attach.ts'
import { startAttended } from './container-attendance.ts'
import { addContainer, findOrPull } from './container-create.ts'
import {
  type ContainerExit,
  type ContainerInspection,
  type ContainerListOptions,
  type ContainerLogOptions,
  type ContainerPruneOptions,
  type ContainerRemoveOptions,
  type ContainerStopOptions,
  type ContainerWaitOptions,
  checkLogOptions,
  endParts,
  exitOf,
  inspectionOf,
  portsOf,
  removeStored,
  splitEnded,
  stopSettings,
  waitStored,
} from './container-management.ts'
import { type ContainerReadyOptions, takeWaitFor } from './container-wait.ts'
import type { ContainerStore, StoredContainer } from './containers/container-store.ts'
import { type ContainerCreateOptions, checkCreateOptions } from './containers/create-options.ts'
import { goesOn, killStored, stopStored } from './containers/end-stored.ts'
import { checkContainerFilters } from './containers/filters.ts'
import { freezeStored } from './containers/freeze-stored.ts'
import { readLogs } from './containers/log-reader.ts'
import type { LogLine } from './containers/log-record.ts'
import { findNetwork } from './containers/network-join.ts'
import { type Engine, engineOf } from './engine.ts'
import { ContainerStateError, InvalidOptionError, NotFoundError } from './errors.ts'
import { Image } from './image.ts'
import { parseSignal } from './oci/signals.ts'
import { checkObject, checkPattern, checkString } from './options/checks.ts'
import {
  type ContainerOptions,
  type NormalizedContainerOptions,
  normalizeContainerOptions,
} from './options/container-options.ts'
import type { PublishedPort } from './options/port-options.ts'
import { toResult } from './run-outcome.ts'
import type { RunResult } from './run-result.ts'
import { withCallerStreams } from './runtime/caller-streams.ts'
import { Template } from './template.ts'
import { runWithVolumes } from './volumes/run-with-volumes.ts'

/** Options of {@link Container.run}. */
export type RunOptions = ContainerOptions<Engine>

/** Options of {@link Container.create}, and of {@link Container.start}, which can wait until it is ready. */
export type CreateOptions = ContainerCreateOptions<Engine>
export type StartOptions = CreateOptions & ContainerReadyOptions

/** Options of {@link Container.fork}. */
export type ForkOptions = Omit<StartOptions, 'engine' | 'platform'>

const kName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/

/**
 * A Linux container. {@link Container.run} makes one for a single command; {@link Container.create} and {@link Container.start} make
 * one that is there until it is removed, for this and every other process on the same root.
 */
export class Container extends ContainerAttachments {
  readonly #engine: Engine
  #name: string
  #ports: readonly PublishedPort[]

  private constructor(engine: Engine, stored: StoredContainer) {
    const { record, state } = stored
    super(engine, record.id)
    this.#engine = engine
    this.#name = state.name
    this.#ports = portsOf(stored)
  }

  /** As of the last call on this object. */
  get name(): string {
    return this.#name
  }

  /** What the host has of its ports, by `ports`: as of the last {@link start} or {@link inspect} of this object. */
  get ports(): readonly PublishedPort[] {
    return this.#ports
  }

  /** @throws {WherryError} `ERR_ENGINE_CLOSED` */
  get #containers(): ContainerStore {
    this.#engine.assertOpen()
    return this.#engine.containers
  }

  /**
   * Makes a container without starting it: its configuration and its writable layer.
   *
   * @param image - an {@link Image}, or a reference: see {@link Image.pull}, which gets it where it is not in the store.
   * @throws {InvalidOptionError} before anything is touched. @throws {ConflictError} when another container has the name.
   */
  static async create(image: Image | string, options: CreateOptions = {}): Promise<Container> {
    const checked = checkCreateOptions(options)
    const engine = await engineOf(options)
    const { signal, platform } = options
    signal?.throwIfAborted()
    const source = typeof image === 'string' ? await findOrPull(image, engine, signal, platform) : image
    if (!(source instanceof Image)) throw new InvalidOptionError('image', 'an Image or a reference', image)
    // Nobody may remove it before the container says that it needs it.
    const release = source.use()
    try {
      const reference = typeof image === 'string' ? image : (source.tags[0] ?? null)
      return new Container(engine, await addContainer(engine, source, reference, checked, signal))
    } finally {
      release()
    }
  }

  /**
   * Makes a container and starts it. One that cannot be started, or does not get ready, is removed again.
   *
   * @throws what {@link Container.create}, {@link start} and {@link waitFor} throw.
   * @example
   * await using db = await Container.start('postgres:16', { env, waitFor: { log: /ready to accept/, times: 2 } })
   */
  static async start(image: Image | string, options: StartOptions = {}): Promise<Container> {
    const { rest, wait } = takeWaitFor(options)
    const container = await Container.create(image, rest)
    try {
      options.signal?.throwIfAborted()
      await container.start()
      const { waitFor, waitTimeoutMs: timeoutMs } = wait
      if (waitFor !== undefined) await container.waitFor(waitFor, { timeoutMs, signal: options.signal })
      return container
    } catch (error) {
      await container.remove({ force: true, volumes: true }).catch(() => undefined)
      throw error
    }
  }

  /**
   * Makes a container from a template and starts it, in the time that any container takes: the template's files are a layer below its
   * own. It is made as the container that the template shows was: with its command, environment, mounts, limits, health check, restart
   * policy and input, and free ports of the host where that one has some.
   *
   * @param options - each that is given stands for that container's. `name`, `detached`, `autoRemove` and `logs` are not taken over.
   * @throws what {@link Container.start} throws. @throws {UnsupportedHostError} for too many forks of forks: overlay takes 500 layers.
   * @example
   * const workers = await Promise.all([1, 2, 3].map(() => Container.fork(template)))
   */
  static async fork(template: Template, options: ForkOptions = {}): Promise<Container> {
    if (!(template instanceof Template)) throw new InvalidOptionError('template', 'a Template', template)
    const { engine, image, options: kept } = await template.parts()
    // One that is removed once it has ended is not started again.
    const own = options.autoRemove === true ? { ...kept, restart: undefined } : kept
    return await Container.start(image, { ...own, ...options, engine })
  }

  /**
   * Finds a container of this root by name, id or the start of its id.
   *
   * @throws {NotFoundError} @throws {ConflictError} when the start of an id fits several.
   */
  static async get(nameOrId: string, options: { engine?: Engine | undefined } = {}): Promise<Container> {
    checkString('nameOrId', nameOrId)
    checkObject('', options, ['engine'])
    const engine = await engineOf(options)
    return new Container(engine, await engine.containers.find(nameOrId))
  }

  /** All containers that run, or with `all` or filters every one that fits; the youngest first. @throws {InvalidOptionError} */
  static async list(options: ContainerListOptions = {}): Promise<ContainerInspection[]> {
    checkObject('', options, ['engine', 'all', 'filters'])
    const fits = checkContainerFilters(options.filters)
    const all = options.all === true || options.filters?.status !== undefined || options.filters?.exitCode !== undefined
    const engine = await engineOf(options)
    const { kept, over } = splitEnded(await engine.containers.list())
    for (const id of over) engine.containers.inBackground(engine.containers.removeEnded(id))
    const found = kept.filter((each) => (all || goesOn(each)) && fits(each))
    return await Promise.all(found.map((each) => inspectionOf(engine, each)))
  }

  /** Removes all containers that do not run. @returns the ids of those. */
  static async prune(options: ContainerPruneOptions = {}): Promise<{ removed: string[] }> {
    checkObject('', options, ['engine', 'filters'])
    const fits = checkContainerFilters(options.filters)
    const engine = await engineOf(options)
    const removed: string[] = []
    for (const each of await engine.containers.list()) {
      if (goesOn(each) || !fits(each)) continue
      try {
        await removeStored(engine, each.record.id, { force: false, volumes: false })
        removed.push(each.record.id)
      } catch (error) {
        // Started or removed by somebody else meanwhile.
        if (!(error instanceof NotFoundError || error instanceof ContainerStateError)) throw error
      }
    }
    return { removed }
  }

  /**
   * Starts a container that is created or has exited; it has the files that it had. Resolves when its program runs.
   *
   * @throws {ContainerStateError} when it runs. @throws {ContainerStartError} when the program cannot be run.
   */
  async start(): Promise<void> {
    this.started(await startAttended(this.#engine, this.id))
  }

  protected override started(ports: readonly PublishedPort[]): void {
    this.#ports = ports
  }

  /**
   * Ends the program: its stop signal, then SIGKILL. One that has ended is no error.
   *
   * @throws {NotFoundError} when it has been removed.
   */
  async stop(options: ContainerStopOptions = {}): Promise<void> {
    this.#engine.assertOpen()
    const settings = await stopSettings(this.#engine, this.id, options)
    await stopStored(endParts(this.#engine), this.id, settings)
  }

  /**
   * Sends a signal to its first process, which as process 1 ignores all but SIGKILL that it has no handler for. SIGKILL and its stop
   * signal end its restart policy too, as {@link stop} does.
   *
   * @param killSignal - `'SIGTERM'`, `'TERM'` or 15. @default 'SIGKILL'
   * @throws {ContainerStateError} when it does not run.
   */
  async kill(killSignal: string | number = 'SIGKILL'): Promise<void> {
    const number = parseSignal(killSignal)
    if (number === undefined) throw new InvalidOptionError('killSignal', "a signal such as 'SIGTERM' or 15", killSignal)
    this.#engine.assertOpen()
    await killStored(endParts(this.#engine), this.id, number)
  }

  /** {@link stop}, where it runs, and {@link start}. */
  async restart(options: ContainerStopOptions = {}): Promise<void> {
    const { state } = await this.#containers.read(this.id)
    // Or it would be removed between the two.
    await using _onlooker = state.autoRemove ? await this.#containers.onlooker(this.id, options.signal) : undefined
    await this.stop(options)
    await this.start()
    await this.#containers.tell(await this.#containers.read(this.id), 'restart')
  }

  /** Stops all of its processes where they are. @throws {ContainerStateError} @throws {UnsupportedHostError} */
  async pause(): Promise<void> {
    await freezeStored(this.#containers, await this.#engine.runtime(), this.id, 'pause')
  }

  /** Lets them go on. @throws {ContainerStateError} when it is not paused. */
  async resume(): Promise<void> {
    await freezeStored(this.#containers, await this.#engine.runtime(), this.id, 'resume')
  }

  /**
   * Waits until it does not run: any number of callers, in any process. Resolves at once for one that does not run, also one that
   * was never started, as Docker's `wait` does.
   *
   * @throws {NotFoundError} when it is removed. @throws `signal.reason` on abort.
   */
  async wait(options: ContainerWaitOptions = {}): Promise<ContainerExit> {
    checkObject('', options, ['signal'])
    this.#engine.assertOpen()
    return exitOf(await waitStored(this.#engine, this.id, options.signal))
  }

  /**
   * Removes it with its writable layer and its logs.
   *
   * @param options - `force`: also while it runs, which SIGKILL ends then. `volumes`: with those made for it alone.
   * @throws {ContainerStateError} when it runs. @throws {NotFoundError} when it is gone.
   */
  async remove(options: ContainerRemoveOptions = {}): Promise<void> {
    const { force, volumes } = checkObject('', options, ['force', 'volumes'])
    this.#engine.assertOpen()
    await removeStored(this.#engine, this.id, { force: force === true, volumes: volumes === true })
  }

  /** Gives it another name. @throws {ConflictError} when another container has it. @throws {InvalidOptionError} */
  async rename(name: string): Promise<void> {
    checkPattern('name', name, kName, "two or more letters, digits, '_', '.', '-'")
    await using _lock = await this.#containers.lock(this.id)
    await this.#containers.rename(this.id, name)
    this.#name = name
  }

  /** What it is and how it is right now. @throws {NotFoundError} */
  async inspect(): Promise<ContainerInspection> {
    const stored = await this.#containers.read(this.id)
    this.#name = stored.state.name
    this.#ports = portsOf(stored)
    return await inspectionOf(this.#engine, stored)
  }

  /**
   * What it wrote, line by line, from its first start on as far as logs are kept. With `follow`, until it does not run.
   *
   * @throws {NotFoundError} @throws {InvalidOptionError}
   * @example
   * for await (const { stream, line } of container.logs({ follow: true })) console.log(stream, line)
   */
  async *logs(options: ContainerLogOptions = {}): AsyncGenerator<LogLine> {
    const query = checkLogOptions(options)
    const containers = this.#containers
    await containers.read(this.id)
    const hasEnded = async (): Promise<boolean> => {
      const stored = await containers.read(this.id).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      })
      return stored === undefined || !goesOn(stored)
    }
    for await (const lines of readLogs(containers.directory(this.id), query, hasEnded)) {
      for (const line of lines) {
        yield line
        query.signal?.throwIfAborted()
      }
    }
  }

  /** Removes it, running or not, and the volumes made for it: for `await using`. One that is gone is no error. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove({ force: true, volumes: true })
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
    }
  }

  /**
   * Runs a command in a new container and removes the container: create, start, wait, remove. Output is collected unless
   * `stdout` and `stderr` say otherwise.
   *
   * @param image - an {@link Image}, or a reference: see {@link Image.pull}, which gets it where it is not in the store.
   * @param command - program and arguments; no shell. Left out, the image's own command.
   * @throws {ExitError} when the program fails, unless `reject: false`. @throws {ContainerStartError} when it never ran:
   *   `exitCode` 127 not found, 126 not executable, 125 otherwise. @throws {InvalidOptionError} before anything is touched.
   * @throws what ended one of the streams in `options`; the container is ended by SIGKILL then.
   * @example
   * const { stdout } = await Container.run(Image.host(), ['uname', '-a'])
   */
  static run(
    image: Image | string,
    command: readonly string[] | undefined,
    options: RunOptions & { encoding: 'buffer' },
  ): Promise<RunResult<Buffer>>
  static run(
    image: Image | string,
    command?: readonly string[],
    options?: RunOptions & { encoding?: BufferEncoding | undefined },
  ): Promise<RunResult>
  static run(
    image: Image | string,
    command?: readonly string[],
    options?: RunOptions,
  ): Promise<RunResult<string | Buffer>>
  static async run(
    image: Image | string,
    command?: readonly string[],
    options: RunOptions = {},
  ): Promise<RunResult<string | Buffer>> {
    return withCallerStreams(normalizeContainerOptions(command, options), (normalized) =>
      Container.#run(image, normalized, options),
    )
  }

  static async #run(
    image: Image | string,
    normalized: NormalizedContainerOptions,
    options: RunOptions,
  ): Promise<RunResult<string | Buffer>> {
    const engine = await engineOf(options)
    const source = typeof image === 'string' ? await findOrPull(image, engine, normalized.signal ?? undefined) : image
    if (!(source instanceof Image)) throw new InvalidOptionError('image', 'an Image or a reference', image)
    const release = source.use()
    try {
      const runtime = await engine.runtime()
      const join = await findNetwork(engine.containers, runtime, normalized)
      const outcome = await runWithVolumes(engine.containers.volumes, runtime, source, normalized, join).catch(
        (error: unknown) => {
          throw engine.closed ? engine.closedError(error) : error
        },
      )
      // close() ends what still runs; that is no result of the program's.
      if (engine.closed && outcome.exit.signal !== null && !outcome.timedOut) throw engine.closedError()
      return toResult(outcome, normalized)
    } finally {
      release()
    }
  }
}
