// SPDX-License-Identifier: MIT
import { kRegistryOptionNames, RegistryClient, type RegistryClientOptions } from '../distribution/registry-client.ts'
import { InvalidOptionError } from '../errors.ts'
import { checkObject } from '../options/checks.ts'

/** How one registry is reached for one call, instead of what the engine was opened with. */
export type RegistryOverrides = Pick<RegistryClientOptions, 'auth' | 'insecure' | 'ca'>

/** A client, and the same text for clients that are reached and authorized alike. */
export interface Connection {
  readonly client: RegistryClient
  readonly origin: string
}

/** The registries of an engine: one client each, made when it is needed, with its connections kept until the engine closes. */
export class Registries {
  readonly #configured: ReadonlyMap<string, RegistryClientOptions>
  readonly #clients = new Map<string, RegistryClient>()
  #overridden = 0

  /** @param configured by host, as a caller gave it; nothing is connected. @throws {InvalidOptionError} naming host and option. */
  constructor(configured: unknown) {
    const byName = new Map<string, RegistryClientOptions>()
    for (const [host, options] of Object.entries(checkObject('registries', configured ?? {}))) {
      const path = `registries[${JSON.stringify(host)}]`
      const checked = checkObject(path, options, kRegistryOptionNames) as RegistryClientOptions
      const client = prefixed(path, () => new RegistryClient(host, checked))
      if (byName.has(client.name)) throw new InvalidOptionError(path, 'each registry once', host)
      byName.set(client.name, checked)
      this.#clients.set(client.name, client)
    }
    this.#configured = byName
  }

  /** Runs `work` with the client of a registry: the engine's own, or one for this call where it is reached otherwise. */
  async use<T>(host: string, overrides: RegistryOverrides, work: (connection: Connection) => Promise<T>): Promise<T> {
    const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined))
    const kept = this.#client(host)
    if (Object.keys(given).length === 0) return work({ client: kept, origin: kept.name })
    await using client = new RegistryClient(host, { ...this.#configured.get(kept.name), ...given })
    return await work({ client, origin: `${kept.name} ${this.#overridden++}` })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }

  #client(host: string): RegistryClient {
    const found = this.#clients.get(host.toLowerCase())
    if (found !== undefined) return found
    const client = new RegistryClient(host)
    this.#clients.set(client.name, client)
    return client
  }
}

function prefixed<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error
    const option = error.option === 'host' ? path : `${path}.${error.option}`
    throw new InvalidOptionError(option, error.expected, error.received)
  }
}
