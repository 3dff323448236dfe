// SPDX-License-Identifier: MIT
import { isIP } from 'node:net'
import * as v from 'valibot'
import { InvalidOptionError } from '../errors.ts'
import { checkNumber, checkObject, checkString, checkWord } from './checks.ts'
import { checkPort } from './reach-options.ts'

/**
 * A port of a container that the host has too: its number, `{ container, host, hostIp, protocol }`, or Docker's text
 * `[[ip:]hostPort:]containerPort[/protocol]`.
 */
export type PortOption =
  | number
  | string
  | {
      /** Port in the container. */
      container: number
      /** Port of the host; `0` takes a free one. @default 0 */
      host?: number | undefined
      /** Address of the host to listen on; `'0.0.0.0'` is all of IPv4, as Docker's default. @default '127.0.0.1' */
      hostIp?: string | undefined
      /** @default 'tcp' */
      protocol?: 'tcp' | 'udp' | undefined
    }

/** A port to publish. Plain data. */
export interface NormalizedPort {
  readonly container: number
  /** 0: any that is free. */
  readonly host: number
  readonly hostIp: string
  readonly protocol: 'tcp' | 'udp'
}

/** A port that is published. */
export interface PublishedPort {
  /** Port in the container. */
  readonly container: number
  readonly protocol: 'tcp' | 'udp'
  /** Address of the host. */
  readonly host: string
  readonly port: number
}

/** {@link PublishedPort} in a record. */
export const publishedPortSchema = v.object({
  container: v.number(),
  protocol: v.picklist(['tcp', 'udp']),
  host: v.string(),
  port: v.number(),
})

/** Tests and tools of one machine need no more; what listens on all addresses is there for the whole network. */
const kDefaultIp = '127.0.0.1'
const kMaxPort = 65_535
const kMaxPorts = 256
const kText = /^(?:(?:(?<ip>\[[0-9a-f:.]+\]|[0-9.]+):)?(?<host>\d*):)?(?<container>\d+)(?:\/(?<protocol>tcp|udp))?$/i
const kForm = "a port, { container, host, hostIp, protocol }, or '[[ip:]hostPort:]containerPort[/protocol]'"

/** Checks the ports to publish. @throws {InvalidOptionError} */
export function normalizePorts(value: unknown): NormalizedPort[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new InvalidOptionError('ports', 'a list of ports', value)
  if (value.length > kMaxPorts) throw new InvalidOptionError('ports', `at most ${kMaxPorts} ports`, value)
  return value.map((each, i) => normalizePort(each, `ports[${i}]`))
}

function normalizePort(value: unknown, option: string): NormalizedPort {
  if (typeof value === 'number') return { ...kAny, container: checkPort(option, value) }
  if (typeof value === 'string') return parsePort(value, option)
  const { container, host, hostIp, protocol } = checkObject(option, value, ['container', 'host', 'hostIp', 'protocol'])
  return {
    container: checkPort(`${option}.container`, container),
    host: checkNumber(`${option}.host`, host, { min: 0, max: kMaxPort, integer: true }) ?? 0,
    hostIp: checkIp(hostIp, `${option}.hostIp`),
    protocol: checkWord(`${option}.protocol`, protocol, ['tcp', 'udp']),
  }
}

const kAny = { host: 0, hostIp: kDefaultIp, protocol: 'tcp' } as const

function parsePort(text: string, option: string): NormalizedPort {
  const groups = kText.exec(text)?.groups
  if (groups === undefined) throw new InvalidOptionError(option, kForm, text)
  const { ip, host, container, protocol } = groups
  return normalizePort(
    {
      container: Number(container),
      host: Number(host ?? 0),
      hostIp: ip,
      protocol: protocol?.toLowerCase(),
    },
    option,
  )
}

function checkIp(value: unknown, option: string): string {
  if (value === undefined) return kDefaultIp
  const ip = checkString(option, value, 'an IP address').replace(/^\[(.*)\]$/, '$1')
  if (isIP(ip) === 0) throw new InvalidOptionError(option, 'an IP address of the host', value)
  return ip
}
