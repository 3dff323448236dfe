import { InvalidOptionError } from '../errors.ts'
import type { RegistryHost } from './hosts.ts'

/**
 * What a registry is told about who asks.
 *
 * `identityToken` is an OAuth2 refresh token, `registryToken` a finished bearer token; `'anonymous'` keeps credentials that are
 * stored on this machine out.
 */
export type RegistryAuth =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }
  | { readonly registryToken: string }
  | 'anonymous'

/** Where credentials come from that the caller does not give. */
export interface CredentialStore {
  /**
   * Finds credentials for a repository (`library/alpine`), or for the registry as a whole.
   *
   * @returns `'anonymous'` where there are none.
   */
  find(host: RegistryHost, repository: string | undefined, signal?: AbortSignal): Promise<RegistryAuth>
}

/** Checks what a caller passes. @throws {InvalidOptionError} without the value. */
export function checkAuth(option: string, value: unknown): RegistryAuth {
  if (value === 'anonymous') return value
  const isText = (each: unknown): boolean => typeof each === 'string' && each !== '' && !/[\r\n\0]/.test(each)
  if (typeof value === 'object' && value !== null) {
    const { username, password, identityToken, registryToken } = value as Record<string, unknown>
    if (isText(username) && !String(username).includes(':') && typeof password === 'string')
      return value as RegistryAuth
    if (username === undefined && (isText(identityToken) || isText(registryToken))) return value as RegistryAuth
  }
  const expected = "{ username, password }, { identityToken }, { registryToken } or 'anonymous'"
  throw new InvalidOptionError(option, expected, '(hidden)')
}

/** The value of an `Authorization` header for Basic. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
