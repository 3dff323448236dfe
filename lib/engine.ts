import { resolve } from 'node:path'
import { env, geteuid } from 'node:process'
import { engineAttendant, reviveRootAttendant } from './container-attendance.ts'
import type { Attendant } from './containers/attendant.ts'
import { ContainerStore } from './containers/container-store.ts'
import { clearDeadContainers } from './containers/dead-containers.ts'
import { TemplateStore } from './containers/template-store.ts'
import { type EngineEventOptions, engineEvents } from './engine-events.ts'
import { InvalidOptionError, WherryError } from './errors.ts'
import type { EngineEvent } from './events/event.ts'
import { defaultRoot } from './host/paths.ts'
import { type ImagePruneResult, pruneImages } from './image-management.ts'
import { loadNative, type Native } from './launcher/native.ts'
import { checkLayerLimits, type LayerLimits } from './layer/limits.ts'
import { checkBoolean, checkObject, checkString } from './options/checks.ts'
import type { RegistryOptions } from './registry.ts'
import { removeDeadCgroups } from './runtime/dead-cgroups.ts'
import { describeEngine, type EngineInfo } from './runtime/engine-info.ts'
import { Runtime } from './runtime/runtime.ts'
import type { DiskUsage } from './store/disk-usage.ts'
import { Store } from './store/store.ts'
import type { StoreFault, VerifyOptions } from './store/verify.ts'
import { Registries } from './transfer/registries.ts'
import { Transfers } from './transfer/transfers.ts'

/** How to open an engine. */
export interface EngineOptions {
  /**
   * The state directory: images, containers, volumes, networks. Several engines and processes may share one.
   *
   * @default `/var/lib/wherry` as root, else `$XDG_DATA_HOME/wherry`, else `~/.local/share/wherry`
   */
  root?: string | undefined
  /**
   * Containers kept prepared for the kind that was started last: namespaces and mounts ready, waiting for an image. They cost
   * some 100 KB of kernel memory each and end after ten seconds without use. 0 prepares none.
   *
   * @default 4
   */
  prepared?: number | undefined
  /**
   * Bounds on what one layer may unpack to; an image with a layer beyond one is refused with a {@link LayerError}, and nothing
   * of it stays. They hold for what this engine pulls, loads and imports, not for layers that are there already.
   *
   * @default `{ maxEntries: 2_000_000, maxBytes: 64 * 1024 ** 3, maxPathDepth: 512, maxNameBytes: 4095 }`, far above what
   *   public images hold
   * @example
   * { maxBytes: 2 * 1024 ** 3 }
   */
  layerLimits?: Partial<LayerLimits> | undefined
  /**
   * How registries are reached, by host as in references. All others get the defaults of {@link RegistryOptions}.
   *
   * @default {}
   * @example
   * { 'docker.io': { mirrors: ['mirror.example'] }, 'registry.example:5000': { ca: await readFile('ca.pem') } }
   */
  registries?: Readonly<Record<string, RegistryOptions>> | undefined
}

/** What {@link Engine.prune} did. */
export interface EnginePruneResult {
  /** Images that are gone. */
  readonly images: ImagePruneResult['removed']
  readonly reclaimedBytes: number
}

const kDefaultPrepared = 4
const kPartialLifeMs = 7 * 24 * 3_600_000

const kOptionNames = [
  'root',
  'prepared',
  'layerLimits',
  'registries',
] as const satisfies readonly (keyof EngineOptions)[]

/** A state directory opened by this process, and what runs containers from it. */
export class Engine {
  static #default: Promise<Engine> | undefined

  /** The addon. @internal */
  readonly native: Native
  /** The state on disk. @internal */
  readonly store: Store
  /** Containers on disk. @internal */
  readonly containers: ContainerStore
  /** Templates on disk. @internal */
  readonly templates: TemplateStore
  /** Pulls and pushes. @internal */
  readonly transfers: Transfers
  /** Looks after containers that this engine has started. @internal */
  readonly attendant: Attendant
  readonly #prepared: number
  readonly #closingController = new AbortController()
  #runtime: Promise<Runtime> | undefined
  #closing: Promise<void> | undefined

  private constructor(native: Native, store: Store, transfers: Transfers, prepared: number) {
    this.native = native
    this.store = store
    this.containers = new ContainerStore(store, native)
    this.templates = new TemplateStore(store, native)
    this.transfers = transfers
    this.#prepared = prepared
    this.attendant = engineAttendant(this)
  }

  /**
   * Opens an engine. What killed processes left in the state directory is put right.
   *
   * @throws {InvalidOptionError} @throws {UnsupportedHostError} on another system than Linux.
   * @throws {WherryError} `ERR_NATIVE_LOAD`, `ERR_STORE_OWNER`, `ERR_STORE_VERSION`
   * @example
   * await using engine = await Engine.open({ root: '/srv/containers' })
   */
  static async open(options: EngineOptions = {}): Promise<Engine> {
    const { root, prepared, layerLimits, registries } = checkObject('', options, kOptionNames)
    const path = root === undefined ? defaultRoot({ uid: geteuid?.() ?? -1, env }) : resolve(checkString('root', root))
    const native = loadNative()
    const count = checkPrepared(prepared)
    const clients = new Registries(registries)
    const store = await Store.open({ root: path, native, layerLimits: checkLayerLimits('layerLimits', layerLimits) })
    await removeDeadCgroups(store.repaired.deadSessions.map(({ id }) => id))
    const engine = new Engine(native, store, new Transfers(store, native, clients), count)
    await clearDeadContainers(engine.containers, store.repaired)
    if (store.repaired.deadSessions.length > 0) await engine.templates.removeStale()
    await reviveRootAttendant(engine, store.repaired.attendedContainers)
    return engine
  }

  /** The engine that is used where none is named: opened at the first use, one per process. */
  static default(): Promise<Engine> {
    if (Engine.#default !== undefined) return Engine.#default
    const opening = Engine.open()
    Engine.#default = opening
    // A host that is put right meanwhile gets another try.
    opening.catch(() => Engine.#forget(opening))
    return opening
  }

  /** The state directory, absolute. */
  get root(): string {
    return this.store.root
  }

  /** This engine's own directory below the root; it goes with {@link close}, or with the next repair. */
  get sessionDir(): string {
    return this.store.session.dir
  }

  /** Whether {@link close} has been called. */
  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Aborted with {@link close}. @internal */
  get closing(): AbortSignal {
    return this.#closingController.signal
  }

  /** Frees what the engine holds, and waits for deletions in the background. Calling it again does nothing. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#close()
      this.#closingController.abort(this.closedError())
    }
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @throws {WherryError} `ERR_ENGINE_CLOSED` @internal */
  assertOpen(): void {
    if (this.#closing !== undefined) throw this.closedError()
  }

  /** @internal */
  closedError(cause?: unknown): WherryError {
    return new WherryError(`The engine on ${this.root} is closed.`, {
      cause,
      code: 'ERR_ENGINE_CLOSED',
      hint: 'open a new one with Engine.open()',
    })
  }

  /** What this host and this engine can do; each thing that is missing with what was looked at, and a hint. */
  async info(): Promise<EngineInfo> {
    this.assertOpen()
    const { host } = await this.runtime()
    return describeEngine(this.root, host)
  }

  /**
   * Tells what happens on this root, in all processes, from this call on: containers, images and volumes, with Docker's words for
   * what happened to them. Of one container, everything comes once and in its order. What killed processes could not tell of an end
   * is told when somebody looks.
   *
   * @returns an iteration that goes on until it is left, aborted, or `until` has come.
   * @throws {InvalidOptionError} @throws {WherryError} `ERR_EVENTS_LOST` when the reader is thousands of events late.
   * @throws `signal.reason` on abort.
   * @example
   * for await (const { action, name, attributes } of engine.events({ filters: { action: 'die' } })) {
   *   console.log(name, attributes.exitCode)
   * }
   */
  events(options: EngineEventOptions = {}): AsyncGenerator<EngineEvent, void, undefined> {
    this.assertOpen()
    return engineEvents(this, options)
  }

  /** What the state directory holds, in numbers of things and bytes. */
  async diskUsage(): Promise<DiskUsage> {
    this.assertOpen()
    return this.store.diskUsage(await this.containers.usedVolumes())
  }

  /**
   * Deletes what nobody needs: images without name that no container uses, content that no image needs, what killed processes
   * left, and interrupted downloads that nobody has gone on with for seven days.
   */
  async prune(): Promise<EnginePruneResult> {
    this.assertOpen()
    await this.store.repair()
    const images = await pruneImages(this.store, {})
    const partial = await this.store.prunePartial(kPartialLifeMs)
    return { images: images.removed, reclaimedBytes: images.reclaimedBytes + partial }
  }

  /**
   * Walks the whole state directory and compares it with what it should be: every blob, layer, list, lock and session, with modes
   * and owners. Nothing is changed. Other engines may work meanwhile, but wait to add or remove images.
   *
   * @returns all faults; none in a sound store.
   * @throws `signal.reason` on abort.
   */
  async verify(options: VerifyOptions = {}): Promise<{ faults: StoreFault[] }> {
    this.assertOpen()
    const { content, signal } = checkObject('', options, ['content', 'signal']) as VerifyOptions
    return { faults: await this.store.verify({ content: checkBoolean('content', content, true), signal }) }
  }

  /** What runs containers; started by the first one. @internal */
  runtime(): Promise<Runtime> {
    this.assertOpen()
    if (this.#runtime === undefined) {
      const starting = Runtime.start(this.native, this.store, { prepared: this.#prepared })
      this.#runtime = starting
      // A host that is put right meanwhile gets another try.
      starting.catch(() => {
        if (this.#runtime === starting) this.#runtime = undefined
      })
    }
    return this.#runtime
  }

  async #close(): Promise<void> {
    await this.transfers.close(this.closedError())
    this.containers.stopRestarts()
    await this.attendant.close()
    const runtime = await this.#runtime?.catch(() => undefined)
    await runtime?.close()
    await this.containers.programsTold()
    await this.containers.settle()
    if (Engine.#default !== undefined && (await Engine.#default.catch(() => undefined)) === this)
      Engine.#default = undefined
    await this.store.close()
  }

  static #forget(opening: Promise<Engine>): void {
    if (Engine.#default === opening) Engine.#default = undefined
  }
}

const kMaxPrepared = 64

function checkPrepared(value: unknown): number {
  if (value === undefined) return kDefaultPrepared
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= kMaxPrepared) return value
  throw new InvalidOptionError('prepared', `a whole number from 0 to ${kMaxPrepared}`, value)
}

/** The engine that options name, or the default one; it is open. @throws {InvalidOptionError} @internal */
export async function engineOf(options: { engine?: Engine | undefined }): Promise<Engine> {
  const engine = options.engine ?? (await Engine.default())
  if (!(engine instanceof Engine)) throw new InvalidOptionError('engine', 'an Engine', engine)
  engine.assertOpen()
  return engine
}
