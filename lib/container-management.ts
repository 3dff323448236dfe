// SPDX-License-Identifier: MIT
import type { ContainerStore, StoredContainer } from './containers/container-store.ts'
import type { EndParts } from './containers/end-stored.ts'
import { goesOn, isLive, signalStored, waitForEnd } from './containers/end-stored.ts'
import type { ContainerFilters } from './containers/filters.ts'
import { resumeIfPaused, thaw } from './containers/freeze-stored.ts'
import { readHealth } from './containers/health-file.ts'
import type { ContainerHealth } from './containers/health-state.ts'
import { labelsOf } from './containers/labels.ts'
import type { LogQuery } from './containers/log-reader.ts'
import { type ContainerMount, mountsOf } from './containers/mounts-of.ts'
import type { ContainerStatus } from './containers/record.ts'
import { optionsIfKnown, optionsOf, stopSignalOfRecord } from './containers/recorded-options.ts'
import type { Engine } from './engine.ts'
import { ContainerStateError, NotFoundError } from './errors.ts'
import { DirectoryChanges } from './events/directory-changes.ts'
import { mergeConfig } from './oci/merge-config.ts'
import { checkBoolean, checkMoment, checkNumber, checkObject, checkTimeout } from './options/checks.ts'
import { kDefaultStopTimeoutMs } from './options/normalize-container-options.ts'
import type { PublishedPort } from './options/port-options.ts'
import type { RestartPolicy } from './options/restart-policy.ts'
import type { RunUsage } from './run-result.ts'
import { removeContainerCgroups } from './runtime/dead-cgroups.ts'
import { kStateFile } from './store/container-state.ts'

/** Options of {@link Container.list}. */
export interface ContainerListOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  /** Also those that do not run. @default false, but true with a filter by status or exit code */
  all?: boolean | undefined
  filters?: ContainerFilters | undefined
}

/** Options of {@link Container.prune}. */
export interface ContainerPruneOptions {
  /** @default Engine.default() */
  engine?: Engine | undefined
  filters?: Pick<ContainerFilters, 'label' | 'name' | 'ancestor'> | undefined
}

/** Options of {@link Container.stop} and {@link Container.restart}. */
export interface ContainerStopOptions {
  /** Time before SIGKILL, in milliseconds. @default the container's `stopTimeoutMs`, 10_000 */
  timeoutMs?: number | undefined
  /** Aborting ends the wait; the stop signal has been sent. */
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.wait}. */
export interface ContainerWaitOptions {
  signal?: AbortSignal | undefined
}

/** Options of {@link Container.remove}. */
export interface ContainerRemoveOptions {
  /** Also while it runs. @default false */
  force?: boolean | undefined
  /** Also the volumes that were made for it alone: those without a name. @default false */
  volumes?: boolean | undefined
}

/** Options of {@link Container.logs}. */
export interface ContainerLogOptions {
  /** Goes on with what is written, until the container does not run. @default false */
  follow?: boolean | undefined
  /** Lines from this moment on: a date, its ISO form, or milliseconds since 1970. */
  since?: Date | string | number | undefined
  /** Lines before this moment. */
  until?: Date | string | number | undefined
  /** The last lines only, of those that are there. */
  tail?: number | undefined
  /** @default true */
  stdout?: boolean | undefined
  /** @default true */
  stderr?: boolean | undefined
  signal?: AbortSignal | undefined
}

/** How a container ended. */
export interface ContainerExit {
  /** 128 + n after signal n, as Docker; `null` for one that was never started. */
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly oomKilled: boolean
  /** ISO 8601. */
  readonly startedAt: string | null
  readonly finishedAt: string | null
  /** Of all its processes; `undefined` where nobody saw its end. */
  readonly usage: RunUsage | undefined
}

/** What {@link Container.inspect} and {@link Container.list} tell. */
export interface ContainerInspection extends ContainerExit {
  readonly id: string
  readonly name: string
  readonly status: ContainerStatus
  /** First process on the host; `null` where none runs. */
  readonly pid: number | null
  readonly createdAt: string
  /** Why the last start failed. */
  readonly error: string | null
  readonly image: { readonly id: string | null; readonly reference: string | null }
  /** What it runs: entrypoint and command. */
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly mounts: readonly ContainerMount[]
  readonly detached: boolean
  readonly autoRemove: boolean
  /** Of the host, while it runs. */
  readonly ports: readonly PublishedPort[]
  /** When it is started again by itself. */
  readonly restart: Readonly<RestartPolicy>
  /** How often that was done since somebody started it. */
  readonly restartCount: number
  /** Whether its last run is or was well; `null` where it has no check, or never ran. */
  readonly health: ContainerHealth | null
}

const kSigkill = 9
const kEnded: readonly ContainerStatus[] = ['created', 'exited']

/** What ends containers and waits for them. */
export function endParts(engine: Engine): EndParts {
  const { containers, native } = engine
  return { containers, native, thaw: async (id) => resumeIfPaused(containers, await engine.runtime(), id) }
}

/** How to stop a container: what the call says, else what the container and its image say. */
export async function stopSettings(
  engine: Engine,
  id: string,
  options: ContainerStopOptions,
): Promise<{ stopSignal: number; timeoutMs: number; signal: AbortSignal | undefined }> {
  checkObject('', options, ['timeoutMs', 'signal'])
  const timeoutMs = checkTimeout('timeoutMs', options.timeoutMs, 0)
  const { record } = await engine.containers.read(id)
  return {
    stopSignal: stopSignalOfRecord(record),
    timeoutMs: timeoutMs ?? optionsIfKnown(record)?.stopTimeoutMs ?? kDefaultStopTimeoutMs,
    signal: options.signal,
  }
}

/** Removes a container. @throws {ContainerStateError} when it runs, unless `force`. @param options - `volumes`: with those made for it. */
export async function removeStored(
  engine: Engine,
  id: string,
  { force, volumes }: { force: boolean; volumes: boolean },
): Promise<void> {
  const { containers } = engine
  await using _lock = await containers.lock(id)
  let stored = await containers.settleEndLocked(id)
  const { name, status } = stored.state
  if (goesOn(stored) && !force) throw new ContainerStateError(`container ${name}`, status, 'remove', kEnded)
  if (isLive(stored)) {
    // We hold the lock, and the state is about to go: nothing that takes the lock may be called.
    const parts = { ...endParts(engine), thaw: async (paused: string) => thaw(await engine.runtime(), paused) }
    await signalStored(parts, id, kSigkill).catch((error: unknown) => {
      // It has ended by itself.
      if (!(error instanceof ContainerStateError)) throw error
    })
    await waitForEnd(parts, id)
    stored = await containers.settleEndLocked(id)
  }
  // Whoever recorded an end removes the cgroup too, unless it was killed in between: then nobody else would know of it any more.
  await removeContainerCgroups([id], (_, remove) => remove())
  await (volumes ? containers.removeWithVolumes(stored) : containers.remove(stored))
}

/** Waits for the end of a container, also of one that is removed then. */
export async function waitStored(
  engine: Engine,
  id: string,
  signal: AbortSignal | undefined,
): Promise<StoredContainer> {
  const { containers } = engine
  try {
    const { state } = await containers.read(id)
    await using _onlooker = state.autoRemove ? await containers.onlooker(id, signal) : undefined
    for (;;) {
      const stored = await waitForEnd(endParts(engine), id, { signal })
      if (!goesOn(stored)) return stored
      await untilRestarted(containers, id, signal)
    }
  } catch (error) {
    const remembered = error instanceof NotFoundError ? containers.remembered(id) : undefined
    if (remembered === undefined) throw error
    return remembered
  }
}

/** Waits until a container that is about to be started again has been, or will not be. */
async function untilRestarted(containers: ContainerStore, id: string, signal: AbortSignal | undefined): Promise<void> {
  const changes = new DirectoryChanges(containers.directory(id), (name) => name === kStateFile)
  try {
    while ((await containers.read(id)).state.status === 'restarting') await changes.next(signal)
  } finally {
    changes.close()
  }
}

/** Tells those that are to be removed once they have ended, and have, from the others. */
export function splitEnded(all: readonly StoredContainer[]): { kept: StoredContainer[]; over: string[] } {
  const isOver = ({ state }: StoredContainer): boolean => state.autoRemove && state.status === 'exited'
  return { kept: all.filter((each) => !isOver(each)), over: all.filter(isOver).map(({ record }) => record.id) }
}

export function exitOf({ state, lastExit }: StoredContainer): ContainerExit {
  const { exitCode, killSignal, oomKilled, startedAt, finishedAt } = state
  const usage =
    lastExit === undefined
      ? undefined
      : {
          cpuMicros: lastExit.userMicros + lastExit.systemMicros,
          userMicros: lastExit.userMicros,
          systemMicros: lastExit.systemMicros,
          maxRssBytes: lastExit.maxRssBytes,
        }
  return { exitCode, killSignal, oomKilled, startedAt, finishedAt, usage }
}

export async function inspectionOf({ containers }: Engine, stored: StoredContainer): Promise<ContainerInspection> {
  const { record, state } = stored
  const { id, createdAt, image, detached } = record
  const { name, status, pid, error, autoRemove, restart } = state
  return {
    id,
    name,
    status,
    pid,
    createdAt,
    error,
    image,
    command: commandOf(record),
    labels: labelsOf(record),
    mounts: mountsOf(stored, containers.volumes),
    detached,
    autoRemove,
    ports: portsOf(stored),
    restart: { policy: restart?.policy ?? 'no', maxRetries: restart?.maxRetries ?? 0 },
    restartCount: restart?.count ?? 0,
    health: await healthOf(containers.directory(id), stored),
    ...exitOf(stored),
  }
}

async function healthOf(dir: string, stored: StoredContainer): Promise<ContainerHealth | null> {
  const health = await readHealth(dir, stored)
  if (health === undefined) return null
  const { status, failingStreak, log } = health
  return { status, failingStreak, log }
}

/** The ports of the host that lead to it, as long as it runs. */
export function portsOf(stored: StoredContainer): readonly PublishedPort[] {
  return isLive(stored) ? (stored.state.ports ?? []) : []
}

function commandOf(record: StoredContainer['record']): readonly string[] {
  try {
    return mergeConfig(optionsOf(record), record.imageConfig).args
  } catch {
    // Neither names a command: it cannot be started, but it can be looked at.
    return []
  }
}

/** @throws {InvalidOptionError} */
export function checkLogOptions(options: ContainerLogOptions): LogQuery {
  checkObject('', options, ['follow', 'since', 'until', 'tail', 'stdout', 'stderr', 'signal'])
  const streams = [
    ...(checkBoolean('stdout', options.stdout, true) ? (['stdout'] as const) : []),
    ...(checkBoolean('stderr', options.stderr, true) ? (['stderr'] as const) : []),
  ]
  return {
    follow: checkBoolean('follow', options.follow, false),
    sinceMs: checkMoment('since', options.since),
    untilMs: checkMoment('until', options.until),
    tail: checkNumber('tail', options.tail, { min: 0, max: 1_000_000, integer: true }) ?? undefined,
    streams,
    signal: options.signal,
  }
}
