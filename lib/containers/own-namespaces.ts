// SPDX-License-Identifier: MIT
import { normalizeContainerOptions } from '../options/normalize-container-options.ts'
import type { HostContext } from '../runtime/host-context.ts'
import type { ContainerRecord } from './record.ts'
import { toOptions } from './recorded-options.ts'

/** Whether a container has a user namespace of its own: an ordinary user's always has. */
export function hasUserNamespace({ facts }: HostContext, { options }: ContainerRecord): boolean {
  return !facts.rootful || normalizeContainerOptions(['true'], toOptions(options)).userns !== 'host'
}

/** Whether a container's network is another one than the host's. */
export function hasNetworkNamespace({ options }: ContainerRecord): boolean {
  return options.network !== 'host'
}
