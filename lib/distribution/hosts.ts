import { BlockList, isIP, isIPv6 } from 'node:net'
import { InvalidOptionError } from '../errors.ts'

const kDockerHub = 'docker.io'
const kDockerHubApi = 'registry-1.docker.io'
const kDockerHubNames: readonly string[] = [kDockerHub, 'index.docker.io', kDockerHubApi]

/** Where a registry is, from the name a person gives it. */
export interface RegistryHost {
  /** As in a reference: `docker.io`, `localhost:5000`. */
  readonly name: string
  /** Host and port that are connected to. */
  readonly authority: string
  /** Host alone, without brackets, in lower case. */
  readonly hostname: string
  /** Put before each repository: mirrors may keep theirs below a path. Without slashes at its ends, may be empty. */
  readonly prefix: string
  /** Said by the caller, or `undefined`. */
  readonly scheme: 'https:' | 'http:' | undefined
}

/**
 * Parses `host[:port]`, for mirrors also `https://host[:port]/prefix`.
 *
 * @throws {InvalidOptionError}
 */
export function parseHost(text: string, option = 'host'): RegistryHost {
  const match = /^(?:(https?):\/\/)?([^/?#@\s\\]+)(?:\/([^?#@\s\\]*))?$/i.exec(text)
  const expected = 'a registry such as docker.io, localhost:5000 or https://host/prefix'
  const url = match === null ? undefined : tryUrl(`${match[1] ?? 'https'}://${match[2]}/`)
  if (match === null || url === undefined || url.username !== '' || match[2]?.endsWith(':'))
    throw new InvalidOptionError(option, expected, text)
  const prefix = (match[3] ?? '').replace(/^\/+|\/+$/g, '').replace(/^v2(?:\/|$)/, '')
  const scheme = match[1] === undefined ? undefined : (`${match[1].toLowerCase()}:` as 'https:' | 'http:')
  const name = (match[2] ?? '').toLowerCase()
  const isHub = kDockerHubNames.includes(name)
  return {
    name: isHub ? kDockerHub : name,
    authority: isHub ? kDockerHubApi : name,
    hostname: hostnameOf(isHub ? new URL(`https://${kDockerHubApi}`) : url),
    prefix,
    scheme,
  }
}

/** Whether a name as in a reference is Docker Hub's. */
export function isDockerHub(name: string): boolean {
  return kDockerHubNames.includes(name)
}

/** The key under which a registry's credentials are kept in Docker's config.json, and the server a credential helper is asked for. */
export function credentialServer(name: string): string {
  return isDockerHub(name) ? 'https://index.docker.io/v1/' : name
}

/** Host of a URL without brackets. */
export function hostnameOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
}

/** Whether a host is this machine by its name alone. */
export function isLoopbackHost(hostname: string): boolean {
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true
  return isIP(hostname) !== 0 && addressKind(hostname) === 'loopback'
}

/** Kinds of addresses that a registry elsewhere has no business to send a client to. */
export type AddressKind = 'loopback' | 'link-local' | 'other'

/** Tells of an IP address what it reaches: this machine, the link or a cloud's metadata service, or something else. */
export function addressKind(address: string): AddressKind {
  const family = isIPv6(address) ? 'ipv6' : 'ipv4'
  const plain = address.replace(/%.*$/, '')
  if (kLoopback.check(plain, family)) return 'loopback'
  return kLinkLocal.check(plain, family) ? 'link-local' : 'other'
}

const kLoopback = blockList([
  ['127.0.0.0', 8, 'ipv4'],
  ['0.0.0.0', 8, 'ipv4'],
  ['::1', 128, 'ipv6'],
  ['::', 128, 'ipv6'],
])
const kLinkLocal = blockList([
  ['169.254.0.0', 16, 'ipv4'],
  ['fe80::', 10, 'ipv6'],
  // Metadata services of clouds that are not link-local: AWS by IPv6, Alibaba, Oracle.
  ['fd00:ec2::254', 128, 'ipv6'],
  ['100.100.100.200', 32, 'ipv4'],
  ['192.0.0.192', 32, 'ipv4'],
])

function blockList(subnets: readonly (readonly [string, number, 'ipv4' | 'ipv6'])[]): BlockList {
  const list = new BlockList()
  for (const [net, bits, family] of subnets) list.addSubnet(net, bits, family)
  return list
}

function tryUrl(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}
