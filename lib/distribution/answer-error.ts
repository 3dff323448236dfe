import * as v from 'valibot'
import {
  NotFoundError,
  RegistryAuthError,
  type RegistryDiagnostic,
  RegistryError,
  TimeoutError,
  type WherryError,
} from '../errors.ts'
import { errorCode, isTemporaryAnswer, networkAttempts, parseRetryAfter } from './retry.ts'

const kMaxDiagnostics = 10
const kMaxTextLength = 300
/** Parameters that are no secret; the values of others do not enter messages. */
const kOpenParameters: ReadonlySet<string> = new Set([
  'n',
  'last',
  'q',
  'scope',
  'service',
  'digest',
  'mount',
  'from',
  'artifactType',
  'client_id',
  'ns',
])

const errorListSchema = v.object({
  errors: v.array(v.object({ code: v.optional(v.unknown()), message: v.optional(v.unknown()) })),
})
/** What token services and other parts of registries answer with. */
const otherErrorSchema = v.object({
  error: v.optional(v.unknown()),
  details: v.optional(v.unknown()),
  message: v.optional(v.unknown()),
  error_description: v.optional(v.unknown()),
})

/** What a request was for, in the words of the error it may end with. */
export interface Purpose {
  /** Starts the message: `Cannot get manifest latest of localhost:5000/demo`. */
  readonly intent: string
  /** Registry as the caller names it, for hints. */
  readonly registry: string
  /** Names what a 404 means: `Tag latest of docker.io/library/alpine`. */
  readonly subject?: string
}

/** The parts of an answer that errors are made of. */
export interface FailedAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** At most the first 64 KiB. */
  readonly body: Uint8Array
  readonly method: string
  readonly url: URL
  readonly hadCredentials: boolean
  /** Credentials were refused, whatever the status says. */
  readonly isRefusal?: boolean
}

/** Makes the error for an answer with a status that was not wanted. 404 is a {@link NotFoundError} with the details as its cause. */
export function answerError(purpose: Purpose, answer: FailedAnswer): WherryError {
  const diagnostics = parseDiagnostics(answer.body)
  const first = diagnostics[0]
  const said = first === undefined ? '' : ` (${first.message === '' ? first.code : `${first.code}: ${first.message}`})`
  const reason = `answered ${answer.status}${said}`
  const details = {
    status: answer.status,
    method: answer.method,
    url: redactUrl(answer.url),
    diagnostics,
    temporary: isTemporaryAnswer(
      answer.status,
      diagnostics.map((each) => each.code),
    ),
    retryAfterMs: parseRetryAfter(answer.headers['retry-after'], Date.now()),
  }
  if (answer.isRefusal || answer.status === 401 || answer.status === 403) {
    const hint = answer.hadCredentials
      ? 'the credentials were refused; check that they may do this'
      : `log in with new Registry('${purpose.registry}').login({ username, password }), or pass auth`
    return new RegistryAuthError(purpose.intent, reason, { ...details, hint })
  }
  const error = new RegistryError(purpose.intent, reason, { ...details, hint: hintFor(answer.status) })
  if (answer.status !== 404) return error
  const subject = purpose.subject === undefined ? purpose.intent : `${purpose.subject} does not exist`
  return new NotFoundError(`${subject}: ${details.method} ${details.url} ${reason}.`, undefined, error)
}

function hintFor(status: number): string | undefined {
  if (status === 429) return 'the registry limits requests; log in, wait, or use a mirror'
  if (status === 413) return 'something between here and the registry limits the size of uploads'
  return undefined
}

/** Makes the error for a request that got no answer, or not all of it. */
export function networkError(
  purpose: Purpose,
  method: string,
  url: URL,
  error: unknown,
  stallTimeoutMs: number,
): RegistryError {
  const code = errorCode(error)
  const isStall = code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' || code === 'ERR_TIMEOUT'
  const cause = isStall ? new TimeoutError(`Waiting for bytes of ${url.host}`, stallTimeoutMs) : error
  const reason = isStall
    ? `stalled: no byte came for ${stallTimeoutMs} ms`
    : `failed with ${printable(code === undefined ? String(error) : `${code} (${messageOf(error)})`)}`
  const temporary = networkAttempts(cause) > 0
  return new RegistryError(purpose.intent, reason, {
    method,
    url: redactUrl(url),
    temporary,
    cause,
    hint: networkHint(code),
  })
}

function networkHint(code: string | undefined): string | undefined {
  if (code === undefined) return undefined
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code)) {
    return "pass the registry's certificate authority as ca, or insecure: true where that is acceptable"
  }
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'HPE_INVALID_CONSTANT') {
    return 'the registry seems to speak plain http; pass insecure: true where that is acceptable'
  }
  if (code === 'ENOTFOUND') return 'check the name of the registry'
  return undefined
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message
  return error instanceof Error ? error.message : String(error)
}

/** Makes the error for an answer that breaks the protocol. */
export function protocolError(
  purpose: Purpose,
  method: string,
  url: URL,
  reason: string,
  cause?: unknown,
): RegistryError {
  return new RegistryError(purpose.intent, reason, { method, url: redactUrl(url), cause })
}

/** A URL that may be shown: no user, no password, no values of parameters that may be secret. */
export function redactUrl(url: URL): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  shown.hash = ''
  for (const name of new Set(shown.searchParams.keys())) {
    if (!kOpenParameters.has(name)) shown.searchParams.set(name, '***')
  }
  const text = shown.href
  return text.length > 1024 ? `${text.slice(0, 1024)}…` : text
}

/** Text of others for a message: without control characters and not long. */
export function printable(text: string): string {
  const clean = text
    .slice(0, kMaxTextLength)
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .replace(/\.$/, '')
  return text.length > kMaxTextLength ? `${clean}…` : clean
}

function parseDiagnostics(body: Uint8Array): RegistryDiagnostic[] {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(body))
  } catch {
    return []
  }
  const list = v.safeParse(errorListSchema, json)
  if (list.success) {
    return list.output.errors.slice(0, kMaxDiagnostics).map(({ code, message }) => ({
      code: typeof code === 'string' ? printable(code) : 'UNKNOWN',
      message: typeof message === 'string' ? printable(message) : '',
    }))
  }
  const other = v.safeParse(otherErrorSchema, json)
  if (!other.success) return []
  const { error, details, message, error_description: description } = other.output
  const text = [details, description, message, error].find((each): each is string => typeof each === 'string')
  if (text === undefined) return []
  return [{ code: typeof error === 'string' ? printable(error) : 'UNKNOWN', message: printable(text) }]
}
