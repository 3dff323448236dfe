// SPDX-License-Identifier: MIT
import { WherryError } from '../errors.ts'
import { processStatus } from '../host/process-status.ts'
import type { ExitEvent } from '../launcher/messages.ts'
import { PortRelays } from '../net/port-relay.ts'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import { signalName } from '../oci/signals.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { hasNamespace } from '../plan/namespaces.ts'
import { announce } from './announce.ts'
import { PlanDescriptors } from './descriptors.ts'
import type { NetworkJoin } from './network-join.ts'
import type { Runtime } from './runtime.ts'
import type { Rootfs } from './slot-factory.ts'
import { StandardStreams } from './standard-streams.ts'
import { type StartedContainer, startContainer } from './start-container.ts'
import { Stop, watchStop } from './stop.ts'

/** How a run ended, before it is turned into a result or an error. */
export interface RunOutcome {
  id: string
  exit: ExitEvent
  killSignal: string | null
  stdout: Buffer
  stderr: Buffer
  oomKilled: boolean
  timedOut: boolean
  overflowed: boolean
  durationMs: number
}

const kSigkill = 9
const kStartTries = 6
/** A program that ends sooner than this does not compete with the making of the next slot. */
const kRefillDelayMs = 20

interface RunParts {
  readonly image: { rootfs: Rootfs; config: ImageRunConfig }
  readonly options: NormalizedContainerOptions
  readonly join: NetworkJoin | undefined
}

/**
 * Runs a container from start to end and collects its output. The writable layer and the cgroup go in the background.
 *
 * @param join - the container whose network it shares.
 * @throws what {@link startContainer} throws; `signal.reason` when aborted
 */
export async function runContainer(
  runtime: Runtime,
  image: { rootfs: Rootfs; config: ImageRunConfig },
  options: NormalizedContainerOptions,
  join?: NetworkJoin,
): Promise<RunOutcome> {
  const started = performance.now()
  options.signal?.throwIfAborted()
  const stop = new Stop()
  const streams = new StandardStreams(runtime.native, options, () => stop.request('overflow'))
  const unwatch = watchStop(options, stop)
  runtime.launcher.hold()
  let relays: PortRelays | undefined
  try {
    if (options.ports.length > 0) relays = await PortRelays.bind(options.ports)
    const container = await start(runtime, { image, options, join }, streams, stop)
    if (container === undefined) return timedOut(started)
    // Nobody else waits for that.
    if (relays !== undefined) void letIn(runtime, relays, container).catch(() => undefined)
    return await finish(runtime, container, options, streams, stop, started)
  } finally {
    await relays?.close()
    unwatch()
    runtime.launcher.unhold()
  }
}

async function start(
  runtime: Runtime,
  { image, options, join }: RunParts,
  streams: StandardStreams,
  stop: Stop,
): Promise<StartedContainer | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return await startContainer(runtime, {
        rootfs: image.rootfs,
        imageConfig: image.config,
        options,
        join,
        connect: (descriptors, owner) => streams.connect(descriptors, owner),
        descriptors: new PlanDescriptors(runtime.native),
        onSlot: ({ child }) => stop.arm(() => child.kill(kSigkill)),
      })
    } catch (error) {
      streams.abandon()
      if (stop.reason === 'abort') throw options.signal?.reason
      // A prepared child may have been killed while it waited, which says nothing about this container.
      const ended = error instanceof WherryError && error.code === 'ERR_CHILD_ENDED'
      if (ended && stop.reason === 'timeout') return undefined
      if (!ended || stop.reason !== undefined || tries >= kStartTries) throw error
    }
  }
}

async function letIn(runtime: Runtime, relays: PortRelays, { slot, spec }: StartedContainer): Promise<void> {
  const { pid } = slot.child
  const container = {
    name: slot.id.slice(0, 12),
    pid,
    startTimeTicks: (await processStatus(pid))?.startTimeTicks ?? null,
    hasUserNamespace: hasNamespace(spec, 'user'),
    hasNetworkNamespace: hasNamespace(spec, 'network'),
  }
  relays.serve({ parts: runtime, container })
}

/** The time was up before the program ran. */
function timedOut(started: number): RunOutcome {
  return {
    id: '',
    exit: { pid: 0, exitCode: null, signal: kSigkill, userMicros: 0, systemMicros: 0, maxRssBytes: 0 },
    killSignal: 'SIGKILL',
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
    oomKilled: false,
    timedOut: true,
    overflowed: false,
    durationMs: performance.now() - started,
  }
}

async function finish(
  runtime: Runtime,
  container: StartedContainer,
  options: NormalizedContainerOptions,
  streams: StandardStreams,
  stop: Stop,
  started: number,
): Promise<RunOutcome> {
  const { slot } = container
  try {
    streams.started(slot.child.ptyFd)
    const failure = announce(slot.child, (running) => options.onStart?.({ id: slot.id, ...running }), stop)
    const refill = setTimeout(container.refill, kRefillDelayMs)
    const exit = await slot.child.exited
    clearTimeout(refill)
    const [stdout, stderr] = await streams.collect(stop.reason !== undefined)
    if (stop.reason === 'abort') throw options.signal?.reason
    if (failure !== undefined) throw failure.error
    const oomKilled = options.memoryBytes !== null && ((await slot.cgroup.stats()).oomKills ?? 0) > 0
    return {
      id: slot.id,
      exit,
      killSignal: exit.signal === null ? null : signalName(exit.signal),
      stdout,
      stderr,
      oomKilled,
      timedOut: stop.reason === 'timeout',
      overflowed: stop.reason === 'overflow',
      durationMs: performance.now() - started,
    }
  } finally {
    runtime.pool.discard(slot)
    setImmediate(container.refill)
  }
}

/** The error for output over the limit, as child_process has it. */
export function overflowError(maxOutputBytes: number): WherryError {
  return new WherryError(`The container wrote more than ${maxOutputBytes} bytes to one of its streams and was ended.`, {
    code: 'ERR_MAX_OUTPUT',
    hint: "raise 'maxOutputBytes', or hand stdout and stderr to a stream.",
  })
}
