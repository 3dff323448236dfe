// SPDX-License-Identifier: MIT
import { isIP } from 'node:net'
import { InvalidOptionError } from '../errors.ts'
import { checkAbsolutePath, checkNumber, checkObject, checkString } from './checks.ts'

/** What to connect to in a container: a port on its loopback, a port of another address there, or a socket that is a file. */
export type ConnectTarget =
  | number
  | {
      port: number
      /** An IP address as the container sees it, or `'localhost'`. @default 127.0.0.1, and ::1 where nothing listens there */
      host?: string | undefined
    }
  | {
      /** Absolute path of a Unix socket in the container. */
      path: string
    }

/** The addresses to try, in this order; or a path. */
export type NormalizedConnectTarget =
  | { readonly port: number; readonly hosts: readonly string[] }
  | { readonly path: string }

const kLoopbacks = ['127.0.0.1', '::1'] as const
const kMaxPort = 65_535
/** unix(7) */
const kMaxPathBytes = 107

/** Checks what to connect to. @throws {InvalidOptionError} */
export function normalizeConnectTarget(value: unknown): NormalizedConnectTarget {
  if (typeof value === 'number') return { port: checkPort('port', value), hosts: kLoopbacks }
  const { port, host, path } = checkObject('target', value, ['port', 'host', 'path'])
  if (path === undefined) return { port: checkPort('target.port', port), hosts: checkHosts('target.host', host) }
  if (port !== undefined || host !== undefined) {
    throw new InvalidOptionError('target.path', 'a path or a port, not both', path)
  }
  const checked = checkAbsolutePath('target.path', path)
  if (Buffer.byteLength(checked) > kMaxPathBytes) {
    throw new InvalidOptionError('target.path', `a path of at most ${kMaxPathBytes} bytes`, path)
  }
  return { path: checked }
}

/** Checks a port that is not 0. */
export function checkPort(option: string, value: unknown): number {
  const port = checkNumber(option, value, { min: 1, max: kMaxPort, integer: true })
  if (port === null) throw new InvalidOptionError(option, `an integer of 1 to ${kMaxPort}`, value)
  return port
}

/** The addresses that a host stands for; brackets around an IPv6 address may be there. */
function checkHosts(option: string, value: unknown): readonly string[] {
  if (value === undefined || value === 'localhost') return kLoopbacks
  const host = checkString(option, value, 'an IP address').replace(/^\[(.*)\]$/, '$1')
  if (isIP(host) === 0) throw new InvalidOptionError(option, "an IP address, or 'localhost'", value)
  return [host]
}
