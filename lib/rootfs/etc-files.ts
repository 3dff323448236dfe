// SPDX-License-Identifier: MIT
import { isIPv4 } from 'node:net'
import type { NetworkMode } from '../options/network-options.ts'

/** What the generated files in /etc depend on. */
export interface EtcFilesInput {
  hostname: string
  /** Which network the container has: anything but `host` is none of the host's. */
  network: NetworkMode
  /** Address that the host name stands for; `null` without a network. */
  address: string | null
  /** Name servers that replace the host's; may be empty. */
  dns: readonly string[]
  extraHosts: readonly { host: string; address: string }[]
  /** The host's /etc/hosts; used with `network: 'host'`. */
  hostHosts: string | null
  /** The host's /etc/resolv.conf. */
  hostResolvConf: string | null
}

/** Contents of the files that every container gets, whatever its image holds. */
export interface EtcFiles {
  '/etc/hosts': string
  '/etc/hostname': string
  '/etc/resolv.conf': string
}

const kLoopbackHosts = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
]

/** Makes /etc/hosts, /etc/hostname and /etc/resolv.conf for one container. */
export function etcFiles(input: EtcFilesInput): EtcFiles {
  return {
    '/etc/hosts': hostsFile(input),
    '/etc/hostname': `${input.hostname}\n`,
    '/etc/resolv.conf': resolvConf(input),
  }
}

/**
 * Makes /etc/hosts: loopback names, the container's own name, then `extraHosts`; on the host's network the host's file instead of
 * the first two. Without an address the own name stands for 127.0.0.1, since programs look it up at start.
 */
export function hostsFile(
  input: Pick<EtcFilesInput, 'hostname' | 'network' | 'address' | 'extraHosts' | 'hostHosts'>,
): string {
  const extra = input.extraHosts.map(({ host, address }) => `${address}\t${host}`)
  if (input.network === 'host' && input.hostHosts !== null) {
    return [withNewline(input.hostHosts), ...extra.map(withNewline)].join('')
  }
  return [...kLoopbackHosts, `${input.address ?? '127.0.0.1'}\t${input.hostname}`, ...extra].map(withNewline).join('')
}

/**
 * Makes /etc/resolv.conf from the host's. `dns` replaces its name servers. In a network namespace of its own a container cannot
 * reach the host's loopback or link-local servers, so that those are left out.
 */
export function resolvConf(input: Pick<EtcFilesInput, 'network' | 'dns' | 'hostResolvConf'>): string {
  const lines = (input.hostResolvConf ?? '').split('\n').map((line) => line.trimEnd())
  if (input.network === 'host' && input.dns.length === 0) return input.hostResolvConf ?? ''
  const settings = lines.filter((line) => /^\s*(?:search|domain|options|sortlist)\s/.test(line))
  const servers = lines.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
  const reachable = input.network === 'host' ? servers : servers.filter((address) => !isHostOnly(address))
  const chosen = input.dns.length > 0 ? input.dns : reachable
  return [...chosen.map((address) => `nameserver ${address}`), ...settings].map(withNewline).join('')
}

function isHostOnly(address: string): boolean {
  if (isIPv4(address)) return address.startsWith('127.') || address === '0.0.0.0'
  return address === '::1' || address === '::' || address.includes('%')
}

function withNewline(line: string): string {
  return line === '' || line.endsWith('\n') ? line : `${line}\n`
}
