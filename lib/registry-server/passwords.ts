// SPDX-License-Identifier: MIT
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { RegistryServerAuthorizer, RegistryServerCredentials, RegistryServerOptions } from './options.ts'

/** Decides about an access. */
export type Authorize = (...question: Parameters<RegistryServerAuthorizer>) => Promise<boolean>

/** Makes one function out of the ways to say who may do what; `undefined` where everybody may do everything. */
export function makeAuthorizer(auth: RegistryServerOptions['auth']): Authorize | undefined {
  if (auth === undefined) return undefined
  // Only `true` opens: anything else that a function may give by mistake does not.
  if (typeof auth === 'function') return async (...question) => (await Promise.resolve(auth(...question))) === true
  const passwords = new Passwords('users' in auth ? Object.entries(auth.users) : [[auth.username, auth.password]])
  return async (credentials) => credentials !== undefined && passwords.fit(credentials)
}

/** Passwords, compared in a time that depends on none of them. */
class Passwords {
  // With a random key, codes of equal length stand for passwords of any length and cannot be prepared for.
  readonly #key = randomBytes(32)
  readonly #codes = new Map<string, Buffer>()
  readonly #nobody = randomBytes(32)

  constructor(users: [string, string][]) {
    for (const [name, password] of users) this.#codes.set(name, this.#code(password))
  }

  fit({ username, password }: RegistryServerCredentials): boolean {
    return timingSafeEqual(this.#code(password), this.#codes.get(username) ?? this.#nobody)
  }

  #code(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest()
  }
}

/** Reads an `Authorization: Basic` header. `undefined` where it is another one, or malformed. */
export function parseBasic(header: string | undefined): RegistryServerCredentials | undefined {
  const match = /^Basic +([A-Za-z0-9+/_-]+={0,2})$/i.exec(header ?? '')
  if (match === null) return undefined
  const text = Buffer.from(match[1] ?? '', 'base64').toString()
  const colon = text.indexOf(':')
  // Some clients without credentials answer a challenge with an empty name and an empty password.
  if (colon === -1 || text === ':') return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}
