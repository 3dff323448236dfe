// SPDX-License-Identifier: MIT
import { ContainerStateError, NotFoundError, UnsupportedHostError } from '../errors.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { joinedContainer, type NetworkMode } from '../options/network-options.ts'
import type { NetworkJoin } from '../runtime/network-join.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { ContainerStore, StoredContainer } from './container-store.ts'
import { openFirstProcess } from './first-process.ts'
import { optionsOf } from './recorded-options.ts'
import { isActive } from './resolve-state.ts'

/** A chain of containers that share one network is made by hand: nobody makes a longer one. */
const kMaxChain = 16

/**
 * Finds the container whose network another one shares.
 *
 * @returns `undefined` where it shares none.
 * @throws {NotFoundError} @throws {ContainerStateError} when that container does not run.
 * @throws {UnsupportedHostError} for an ordinary user.
 */
export async function findNetwork(
  containers: ContainerStore,
  runtime: Runtime,
  { network }: Pick<NormalizedContainerOptions, 'network'>,
): Promise<NetworkJoin | undefined> {
  const name = joinedContainer(network)
  if (name === undefined) return undefined
  if (!runtime.host.facts.rootful) throw notAsUser()
  const other = await containers.find(name)
  const { state } = other
  if (!isActive(state) || state.pid === null) throw notRunning(other)
  const open = async (): Promise<number> => {
    const pidfd = await openFirstProcess(runtime.native, state)
    if (pidfd === undefined) throw notRunning({ ...other, state: { ...state, status: 'exited' } })
    return pidfd
  }
  return { pid: state.pid, open, names: await namesOf(containers, other) }
}

/**
 * Puts the id of the container in the place of its name, which may become another's.
 *
 * @throws {NotFoundError} when there is no such container.
 */
export async function pinNetwork(
  containers: ContainerStore,
  network: NetworkMode | undefined,
): Promise<NetworkMode | undefined> {
  const name = network === undefined ? undefined : joinedContainer(network)
  return name === undefined ? network : `container:${(await containers.find(name)).record.id}`
}

/** What the files in /etc are made from that belong to a network: those of the container that it was made for. */
async function namesOf(containers: ContainerStore, { record }: StoredContainer): Promise<NetworkJoin['names']> {
  let [id, options] = [record.id, optionsOf(record)]
  for (let i = 0; i < kMaxChain; i++) {
    const name = joinedContainer(options.network)
    // A network goes on when the container that it was made for has gone.
    const next = name === undefined ? undefined : await containers.find(name).catch(ifGone)
    if (next === undefined) break
    id = next.record.id
    options = optionsOf(next.record)
  }
  const { hostname, network, dns, extraHosts } = options
  return { hostname: hostname ?? id.slice(0, 12), network, dns, extraHosts }
}

function ifGone(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error
}

function notRunning({ state }: StoredContainer): ContainerStateError {
  return new ContainerStateError(`container ${state.name}`, state.status, 'share the network of', ['running', 'paused'])
}

/** The network belongs to that container's user namespace, which an ordinary user's process can enter only together with it. */
function notAsUser(): UnsupportedHostError {
  return new UnsupportedHostError(
    "network: 'container:…'",
    'the engine does not run as root',
    'run it as root, or both programs in one container.',
  )
}
