// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import type { ContainerOptions } from './container-options.ts'

/** Which network a container has: none but its loopback, the host's, or that of another container, by its name or id. */
export type NetworkMode = 'none' | 'host' | `container:${string}`

const kJoined = /^container:([a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})$/
const kExpected = "'none', 'host' or 'container:<name or id>'"

/** @throws {InvalidOptionError} @default 'none' */
export function checkNetwork(value: unknown): NetworkMode {
  if (value === undefined) return 'none'
  if (value === 'none' || value === 'host' || (typeof value === 'string' && kJoined.test(value))) {
    return value as NetworkMode
  }
  throw new InvalidOptionError('network', kExpected, value)
}

/** The name or id of the container whose network is shared. */
export function joinedContainer(network: NetworkMode): string | undefined {
  return kJoined.exec(network)?.[1]
}

/** Options that are the other container's already, as in Docker. */
const kOfTheNetwork = ['hostname', 'dns', 'extraHosts'] as const

/** @throws {InvalidOptionError} for an option that a container that shares a network cannot have. */
export function checkBesideNetwork(network: NetworkMode, options: ContainerOptions): void {
  if (joinedContainer(network) === undefined) return
  for (const name of kOfTheNetwork) {
    if (options[name] === undefined) continue
    throw new InvalidOptionError(name, `none with network: '${network}'`, options[name], 'give it to that container')
  }
}
