import { setTimeout as sleep } from 'node:timers/promises'
import { RegistryError } from '../errors.ts'

const kFirstDelayMs = 500
const kMaxDelayMs = 15_000
/** A registry that asks for a longer pause is taken at its word: the caller gets the error. */
const kMaxRetryAfterMs = 60_000

/** Statuses after which the same request may succeed. 501 and 505 say never. */
const kTemporaryStatuses: ReadonlySet<number> = new Set([
  408, 425, 429, 499, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524,
])
const kTemporaryCodes: ReadonlySet<string> = new Set(['TOOMANYREQUESTS', 'UNAVAILABLE'])
/** Errors that a registry sends with 5xx though nothing will change by itself. */
const kPermanentCodes: ReadonlySet<string> = new Set([
  'DENIED',
  'UNAUTHORIZED',
  'UNSUPPORTED',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'MANIFEST_UNKNOWN',
  'MANIFEST_INVALID',
  'DIGEST_INVALID',
  'SIZE_INVALID',
  'TAG_INVALID',
])

/** Errors of the network by Node's or undici's code, and how often at most they are worth another attempt. */
const kNetworkAttempts: Readonly<Record<string, number>> = {
  ECONNRESET: Number.POSITIVE_INFINITY,
  ECONNABORTED: Number.POSITIVE_INFINITY,
  EPIPE: Number.POSITIVE_INFINITY,
  ETIMEDOUT: Number.POSITIVE_INFINITY,
  EAI_AGAIN: Number.POSITIVE_INFINITY,
  ENETUNREACH: 2,
  EHOSTUNREACH: 2,
  // A registry that starts again is back soon; one that is not there should be reported soon.
  ECONNREFUSED: 2,
  ERR_TIMEOUT: Number.POSITIVE_INFINITY,
  UND_ERR_SOCKET: Number.POSITIVE_INFINITY,
  UND_ERR_CONNECT_TIMEOUT: 2,
  UND_ERR_HEADERS_TIMEOUT: Number.POSITIVE_INFINITY,
  UND_ERR_BODY_TIMEOUT: Number.POSITIVE_INFINITY,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: Number.POSITIVE_INFINITY,
}

/** Whether a registry's answer may be another one later. */
export function isTemporaryAnswer(status: number, codes: readonly string[]): boolean {
  if (codes.some((code) => kTemporaryCodes.has(code))) return true
  return kTemporaryStatuses.has(status) && !codes.some((code) => kPermanentCodes.has(code))
}

/** How many further attempts an error of the network is worth. 0 for a wrong certificate, an unknown name and the like. */
export function networkAttempts(error: unknown): number {
  return kNetworkAttempts[errorCode(error) ?? ''] ?? 0
}

/** The code of an error or of what caused it. Of several (one for each address tried) the first. */
export function errorCode(error: unknown, depth = 0): string | undefined {
  if (typeof error !== 'object' || error === null || depth > 4) return undefined
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown }
  if (typeof code === 'string') return code
  return errorCode(cause, depth + 1) ?? (Array.isArray(errors) ? errorCode(errors[0], depth + 1) : undefined)
}

/**
 * Parses `Retry-After`.
 *
 * @returns milliseconds, at least 0, or `undefined` where there is none that can be read.
 */
export function parseRetryAfter(value: string | readonly string[] | undefined, nowMs: number): number | undefined {
  const text = typeof value === 'string' ? value.trim() : value?.[0]?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  // A date of HTTP starts with a day; Date.parse alone would take much else for one.
  const time = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? undefined : Math.max(0, time - nowMs)
}

/**
 * Pause before an attempt: doubles each time, with chance in its upper half so that clients cut at once do not return at once.
 *
 * @param attempt - 0 before the first repetition.
 * @param random - from 0 up to 1.
 * @returns milliseconds, or `undefined` where the registry asked for more patience than there is.
 */
export function retryDelayMs(attempt: number, retryAfterMs: number | undefined, random: number): number | undefined {
  if (retryAfterMs !== undefined) return retryAfterMs > kMaxRetryAfterMs ? undefined : retryAfterMs
  const full = Math.min(kMaxDelayMs, kFirstDelayMs * 2 ** Math.min(attempt, 20))
  return full / 2 + (full / 2) * random
}

/** Decides on further attempts of one operation. */
export class RetryBudget {
  readonly #retries: number
  #used = 0

  /** @param retries - how many further attempts. */
  constructor(retries: number) {
    this.#retries = retries
  }

  /** Progress was made: the count starts again. */
  reset(): void {
    this.#used = 0
  }

  /**
   * Waits until the next attempt is due. Rejects with `error` itself where there shall be none, with the signal's reason when
   * aborted.
   */
  async next(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (!(error instanceof RegistryError) || !error.temporary) throw error
    const allowed = error.status === undefined ? Math.min(this.#retries, networkAttempts(error.cause)) : this.#retries
    if (this.#used >= allowed) throw error
    const delayMs = retryDelayMs(this.#used, error.retryAfterMs, Math.random())
    if (delayMs === undefined) throw error
    this.#used += 1
    try {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal })
    } catch {
      signal?.throwIfAborted()
    }
  }
}

/** Repeats an action as long as it fails with errors that may pass. */
export async function retrying<T>(
  retries: number,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  const budget = new RetryBudget(retries)
  for (;;) {
    try {
      return await action()
    } catch (error) {
      await budget.next(error, signal)
    }
  }
}
