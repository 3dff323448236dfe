import { InvalidOptionError } from '../errors.ts'
import { hostnameOf, isLoopbackHost } from './hosts.ts'

/** Names of variables and their values, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Chooses the proxy for a URL from HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or in lower case), by the rules of curl and Go that
 * other container tools follow: this machine is never reached by a proxy, and HTTP_PROXY is not for https.
 *
 * @returns the proxy's URL, or `undefined` for a direct connection.
 */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const value =
    url.protocol === 'https:'
      ? (env.https_proxy ?? env.HTTPS_PROXY ?? env.all_proxy ?? env.ALL_PROXY)
      : (env.http_proxy ?? env.HTTP_PROXY ?? env.all_proxy ?? env.ALL_PROXY)
  if (value === undefined || value === '') return undefined
  if (isLoopbackHost(hostnameOf(url)) || isExempt(url, env.no_proxy ?? env.NO_PROXY ?? '')) return undefined
  return /^[a-z0-9]+:\/\//i.test(value) ? value : `http://${value}`
}

/** Checks a proxy's URL. @throws {InvalidOptionError} without the value, which may hold a password. */
export function checkProxy(option: string, value: string): string {
  try {
    const { protocol } = new URL(value)
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
    const [, host = entry, entryPort] = /^(.*?):(\d+)$/.exec(entry) ?? []
    if (entryPort !== undefined && entryPort !== port) return false
    const suffix = host.replace(/^\*?\.|^\[|\]$/g, '').toLowerCase()
    return hostname === suffix || hostname.endsWith(`.${suffix}`)
  })
}
