// SPDX-License-Identifier: MIT
import type { ReachTarget } from '../net/socket-servers.ts'
import type { HostContext } from '../runtime/host-context.ts'
import type { StoredContainer } from './container-store.ts'
import type { ContainerRecord } from './record.ts'
import { optionsOf } from './recorded-options.ts'
import { isActive } from './resolve-state.ts'

/** Whether a container has a user namespace of its own: an ordinary user's always has. */
export function hasUserNamespace({ facts }: HostContext, record: ContainerRecord): boolean {
  return !facts.rootful || optionsOf(record).userns !== 'host'
}

/** Whether a container's network is another one than the host's. */
export function hasNetworkNamespace({ options }: ContainerRecord): boolean {
  return options.network !== 'host'
}

/** What one who reaches into a container's network must know. @returns `undefined` when it does not run. */
export function reachOf(host: HostContext, { record, state }: StoredContainer): ReachTarget | undefined {
  if (!isActive(state) || state.pid === null) return undefined
  return {
    name: state.name,
    pid: state.pid,
    startTimeTicks: state.startTimeTicks,
    hasUserNamespace: hasUserNamespace(host, record),
    hasNetworkNamespace: hasNetworkNamespace(record),
  }
}
