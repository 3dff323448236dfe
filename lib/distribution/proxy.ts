import { BlockList, isIP, isIPv6 } from 'node:net'
import { InvalidOptionError } from '../errors.ts'
import { hostnameOf, isLoopbackHost } from './hosts.ts'

/** Names of variables and their values, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Chooses the proxy for a URL from HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or in lower case), by the rules of curl and Go that
 * other container tools follow: this machine is never reached by a proxy, and HTTP_PROXY is not for https.
 *
 * @returns the proxy's URL, or `undefined` for a direct connection.
 * @throws {InvalidOptionError} naming the variable, without its value.
 */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const own = url.protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY']
  const name = [...own, 'all_proxy', 'ALL_PROXY'].find((each) => env[each] !== undefined)
  const value = name === undefined ? undefined : env[name]
  if (name === undefined || value === undefined || value === '') return undefined
  if (isLoopbackHost(hostnameOf(url)) || isExempt(url, env.no_proxy ?? env.NO_PROXY ?? '')) return undefined
  return checkProxy(name, /^[a-z0-9]+:\/\//i.test(value) ? value : `http://${value}`)
}

/** Checks a proxy's URL. @throws {InvalidOptionError} without the value, which may hold a password. */
export function checkProxy(option: string, value: string): string {
  try {
    const { protocol, username, password } = new URL(value)
    // What cannot be decoded would be thrown later, together with the value.
    decodeURIComponent(username + password)
    if (/^(?:https?|socks5?):$/.test(protocol)) return value
  } catch {
    // The error below says it.
  }
  throw new InvalidOptionError(option, 'the URL of a proxy, such as http://proxy:3128', '(hidden)')
}

function isExempt(url: URL, noProxy: string): boolean {
  const hostname = hostnameOf(url)
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return noProxy.split(/[,\s]+/).some((entry) => {
    if (entry === '') return false
    if (entry === '*') return true
    if (isInSubnet(hostname, entry)) return true
    const [, host = entry, entryPort] = splitPort(entry)
    if (entryPort !== undefined && entryPort !== port) return false
    const suffix = host.replace(/^\*?\.|^\[|\]$/g, '').toLowerCase()
    return hostname === suffix || hostname.endsWith(`.${suffix}`)
  })
}

/** A colon is that of a port after a name, an IPv4 address, or brackets; an IPv6 address has its own. */
function splitPort(entry: string): readonly (string | undefined)[] {
  return /^([^:]*|\[.*\]):(\d+)$/.exec(entry) ?? []
}

/** Whether an address is in `10.0.0.0/8` or the like. */
function isInSubnet(hostname: string, entry: string): boolean {
  const [, net = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? []
  const isV6 = isIPv6(net)
  if (isIP(net) === 0 || isIP(net) !== isIP(hostname) || Number(bits) > (isV6 ? 128 : 32)) return false
  const list = new BlockList()
  const family = isV6 ? 'ipv6' : 'ipv4'
  list.addSubnet(net, Number(bits), family)
  return list.check(hostname, family)
}
