// SPDX-License-Identifier: MIT
import {
  createHmac,
  createPublicKey,
  createSecretKey,
  KeyObject,
  randomBytes,
  randomUUID,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import * as v from 'valibot'
import type { RegistryServerTokenOptions } from './options.ts'

/** Room for clocks that differ. */
const kLeewaySeconds = 60
const kMaxTokenLength = 12_000

const accessSchema = v.object({ type: v.string(), name: v.string(), actions: v.array(v.string()) })
const headerSchema = v.object({ alg: v.string() })
const claimsSchema = v.object({
  iss: v.string(),
  aud: v.union([v.string(), v.array(v.string())]),
  exp: v.number(),
  nbf: v.optional(v.number(), 0),
  access: v.optional(v.nullable(v.array(accessSchema)), []),
})

/** A right that a token carries, such as `repository` `app` `['pull']`. */
export type TokenAccess = v.InferOutput<typeof accessSchema>

/**
 * Makes and verifies the tokens of a registry: JSON web tokens with a list of rights.
 *
 * @source https://distribution.github.io/distribution/spec/auth/jwt/
 */
export class Tokens {
  readonly service: string
  readonly issuer: string
  /** Where clients get tokens; `undefined` for the server's own endpoint. */
  readonly realm: string | undefined
  readonly lifetimeSeconds: number
  readonly #key: KeyObject

  constructor(options: RegistryServerTokenOptions) {
    this.service = options.service ?? 'wherry'
    this.issuer = options.issuer ?? 'wherry'
    this.realm = options.realm
    this.lifetimeSeconds = options.lifetimeSeconds ?? 300
    // The server's own tokens are nobody else's business, whatever key there is for foreign ones.
    this.#key = options.realm === undefined || options.key === undefined ? newSecret() : readKey(options.key)
  }

  /** Makes a token of the server's own. */
  issue(subject: string, access: TokenAccess[], nowMs = Date.now()): { token: string; issuedAt: string } {
    const now = Math.floor(nowMs / 1000)
    const claims = {
      iss: this.issuer,
      sub: subject,
      aud: this.service,
      exp: now + this.lifetimeSeconds,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    }
    const signed = `${encode({ typ: 'JWT', alg: 'HS256' })}.${encode(claims)}`
    const token = `${signed}.${createHmac('sha256', this.#key).update(signed).digest('base64url')}`
    return { token, issuedAt: new Date(now * 1000).toISOString() }
  }

  /** @returns the rights in a token; `undefined` for one that is malformed, forged, expired or meant for somebody else. */
  check(token: string, nowMs = Date.now()): TokenAccess[] | undefined {
    const [header = '', payload = '', signature = '', ...rest] = token.split('.')
    if (token.length > kMaxTokenLength || rest.length > 0) return undefined
    const head = decode(headerSchema, header)
    const bytes = Buffer.from(signature, 'base64url')
    if (head === undefined || !this.#verifies(head.alg, `${header}.${payload}`, bytes)) return undefined
    const claims = decode(claimsSchema, payload)
    if (claims === undefined || claims.iss !== this.issuer) return undefined
    if (![claims.aud].flat().includes(this.service)) return undefined
    const now = nowMs / 1000
    if (now > claims.exp + kLeewaySeconds || now < claims.nbf - kLeewaySeconds) return undefined
    return claims.access ?? []
  }

  /** The key decides about the algorithm, not the token. */
  #verifies(algorithm: string, signed: string, signature: Buffer): boolean {
    const key = this.#key
    if (key.type === 'secret') {
      const expected = createHmac('sha256', key).update(signed).digest()
      return (
        algorithm === 'HS256' && signature.byteLength === expected.byteLength && timingSafeEqual(signature, expected)
      )
    }
    if (key.asymmetricKeyType === 'rsa') {
      return algorithm === 'RS256' && verify('sha256', Buffer.from(signed), key, signature)
    }
    const p256 = key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
    const options = { key, dsaEncoding: 'ieee-p1363' } as const
    return p256 && algorithm === 'ES256' && verify('sha256', Buffer.from(signed), options, signature)
  }
}

function newSecret(): KeyObject {
  return createSecretKey(randomBytes(32))
}

function readKey(key: string | Buffer | KeyObject): KeyObject {
  if (key instanceof KeyObject) return key
  return key.includes('-----BEGIN ') ? createPublicKey(key) : createSecretKey(Buffer.from(key))
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> | undefined {
  try {
    return v.parse(schema, JSON.parse(Buffer.from(text, 'base64url').toString()))
  } catch {
    return undefined
  }
}
