// SPDX-License-Identifier: MIT
import { isIP } from 'node:net'
import { InvalidOptionError } from '../errors.ts'
import { normalizeCapability } from '../oci/capabilities.ts'
import {
  checkAbsolutePath,
  checkBoolean,
  checkObject,
  checkPattern,
  checkString,
  checkStrings,
  checkWord,
} from './checks.ts'
import type { ContainerOptions, NormalizedContainerOptions } from './container-options.ts'
import { checkBesideNetwork, checkNetwork, type NetworkMode } from './network-options.ts'
import { normalizePorts } from './port-options.ts'
import { normalizeSeccomp } from './seccomp-options.ts'

type Isolation = Pick<
  NormalizedContainerOptions,
  | 'userns'
  | 'capabilities'
  | 'seccomp'
  | 'noNewPrivileges'
  | 'maskedPaths'
  | 'readonlyPaths'
  | 'sysctls'
  | 'privileged'
  | 'network'
  | 'ports'
  | 'dns'
  | 'extraHosts'
>

/** Settings of the ipc namespace; those of the network namespace all begin with `net.`. */
const kIpcSysctls =
  'kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced'.split(
    ' ',
  )

/** Segments apart by single dots or slashes: `..` cannot come about in the path that is made of it. */
const kSysctlName = /^[a-z0-9_-]+(?:[./][a-z0-9_-]+)*$/i
/** A host name; underscores are not allowed by the standard and in wide use. */
export const kHostName = /^(?=.{1,64}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i

/** Checks the options that say what a container can reach. */
export function normalizeIsolation(options: ContainerOptions): Isolation {
  const network = checkNetwork(options.network)
  checkBesideNetwork(network, options)
  const privileged = checkBoolean('privileged', options.privileged, false)
  return {
    userns: checkWord('userns', options.userns, ['auto', 'host']),
    capabilities: normalizeCapabilities(options.capabilities),
    seccomp: normalizeSeccomp(options.seccomp),
    noNewPrivileges: checkBoolean('noNewPrivileges', options.noNewPrivileges, !privileged),
    maskedPaths: normalizePaths('maskedPaths', options.maskedPaths),
    readonlyPaths: normalizePaths('readonlyPaths', options.readonlyPaths),
    sysctls: options.sysctls === undefined ? {} : normalizeSysctls(options.sysctls, network),
    privileged,
    network,
    ports: portsBeside(network, options.ports),
    dns: options.dns === undefined ? [] : checkStrings('dns', options.dns).map(checkNameServer),
    extraHosts: options.extraHosts === undefined ? [] : normalizeExtraHosts(options.extraHosts),
  }
}

function portsBeside(network: Isolation['network'], value: unknown): Isolation['ports'] {
  const ports = normalizePorts(value)
  if (network === 'none' || ports.length === 0) return ports
  const hint =
    network === 'host'
      ? "with network: 'host' the container's ports are the host's already"
      : 'publish them with the container that the network belongs to'
  throw new InvalidOptionError('ports', 'none', value, hint)
}

function normalizeCapabilities(value: unknown): Isolation['capabilities'] {
  if (value === undefined) return { add: [], drop: [] }
  const changes = checkObject('capabilities', value, ['add', 'drop'])
  const list = (name: 'add' | 'drop'): string[] => {
    const option = `capabilities.${name}`
    const names = changes[name] === undefined ? [] : checkStrings(option, changes[name])
    return names.map((each, index) => normalizeCapability(each, `${option}[${index}]`))
  }
  const add = list('add')
  const drop = list('drop')
  if (add.includes('ALL') && drop.includes('ALL')) {
    throw new InvalidOptionError('capabilities', "'ALL' in one list only", value)
  }
  return { add, drop }
}

function normalizePaths(option: string, value: unknown): string[] | null {
  if (value === undefined) return null
  return checkStrings(option, value).map((path, index) => checkAbsolutePath(`${option}[${index}]`, path))
}

function normalizeSysctls(value: unknown, network: NetworkMode): Record<string, string> {
  const entries = Object.entries(checkObject('sysctls', value)).map(([name, setting]): [string, string] => {
    const option = `sysctls.${name}`
    checkSysctlName(option, name, network)
    return [name, checkString(option, typeof setting === 'number' ? String(setting) : setting)]
  })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function checkSysctlName(option: string, name: string, network: NetworkMode): void {
  const dotted = name.replaceAll('/', '.')
  const isNet = dotted.startsWith('net.')
  const isNamespaced =
    isNet || kIpcSysctls.includes(dotted) || dotted.startsWith('fs.mqueue.') || dotted === 'kernel.domainname'
  if (!kSysctlName.test(name) || !isNamespaced) {
    const hint = dotted === 'kernel.hostname' ? "use the option 'hostname'" : undefined
    throw new InvalidOptionError(
      option,
      "a setting of the container's own: net.*, fs.mqueue.* or System V ipc",
      name,
      hint,
    )
  }
  if (isNet && network !== 'none') {
    throw new InvalidOptionError(option, `no network settings with network: '${network}'`, name)
  }
}

function checkNameServer(address: string, index: number): string {
  if (isIP(address) === 0) throw new InvalidOptionError(`dns[${index}]`, 'an IP address', address)
  return address
}

function normalizeExtraHosts(value: unknown): Isolation['extraHosts'] {
  return Object.entries(checkObject('extraHosts', value)).map(([host, address]) => {
    const option = `extraHosts.${host}`
    checkPattern(option, host, kHostName, 'a host name')
    const text = checkString(option, address, 'an IP address')
    if (isIP(text) === 0) throw new InvalidOptionError(option, 'an IP address', address)
    return { host, address: text }
  })
}
