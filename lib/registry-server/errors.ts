// SPDX-License-Identifier: MIT

/**
 * Codes of error answers, with the status each is sent with.
 *
 * @source https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes; the last four are docker-registry's
 */
export const kErrorStatus = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  TAG_INVALID: 400,
  PAGINATION_NUMBER_INVALID: 400,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
} as const

/** Code of an error answer. */
export type ErrorCode = keyof typeof kErrorStatus

/** A request that cannot be served. It becomes an answer with an error body; nobody outside the server sees it. */
export class RequestError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string | string[]>>

  constructor(
    code: ErrorCode,
    message: string,
    options: { status?: number; detail?: unknown; headers?: Record<string, string | string[]> } = {},
  ) {
    super(message)
    this.name = 'RequestError'
    this.code = code
    this.status = options.status ?? kErrorStatus[code]
    this.detail = options.detail
    this.headers = options.headers ?? {}
  }

  /** The body of the answer. */
  toJSON(): { errors: { code: ErrorCode; message: string; detail?: unknown }[] } {
    const detail = this.detail === undefined ? {} : { detail: this.detail }
    return { errors: [{ code: this.code, message: this.message, ...detail }] }
  }
}

/** Turns whatever was thrown into an answer; what is the server's own fault says nothing about its insides. */
export function toRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new RequestError('UNKNOWN', 'the registry has no space left', { status: 507 })
  }
  return new RequestError('UNKNOWN', 'the registry failed to serve the request')
}
