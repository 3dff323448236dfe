/** Base of every error that wherry rejects with. `code` is stable and meant for programs; `hint` names one action. */
export class WherryError extends Error {
  readonly code: string
  readonly hint: string | undefined

  constructor(message: string, options: { code: string; hint?: string | undefined; cause?: unknown }) {
    super(
      options.hint === undefined ? message : `${message} Hint: ${options.hint}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = new.target.name
    this.code = options.code
    this.hint = options.hint
  }
}

/**
 * A system call failed. `code`, `errno`, `syscall`, `path`, `address` and `port` are Node's fields; `step` is the plan step, when one ran.
 */
export class SyscallError extends WherryError {
  readonly errno: number
  readonly syscall: string
  readonly path: string | undefined
  /** Of a call on a socket. */
  readonly address: string | undefined
  readonly port: number | undefined
  readonly step: string | undefined

  constructor(
    intent: string,
    details: {
      code: string
      errno: number
      syscall: string
      args?: string
      text?: string
      path?: string | undefined
      address?: string | undefined
      port?: number | undefined
      step?: string | undefined
      hint?: string | undefined
      cause?: unknown
    },
  ) {
    const text = details.text === undefined ? '' : ` (${details.text})`
    super(`${intent}: ${details.syscall}(${details.args ?? ''}) failed with ${details.code}${text}.`, details)
    this.errno = details.errno
    this.syscall = details.syscall
    this.path = details.path
    this.address = details.address
    this.port = details.port
    this.step = details.step
  }
}

/** An option has an unknown name or a value of the wrong kind. Thrown before anything is touched. */
export class InvalidOptionError extends WherryError {
  readonly option: string
  readonly expected: string
  readonly received: unknown

  constructor(option: string, expected: string, received: unknown, hint?: string) {
    super(`Invalid option '${option}': expected ${expected}, received ${describeValue(received)}.`, {
      code: 'ERR_INVALID_OPTION',
      hint,
    })
    this.option = option
    this.expected = expected
    this.received = received
  }
}

/** An image reference or digest does not follow the distribution grammar. */
export class InvalidReferenceError extends WherryError {
  readonly reference: string
  /** Offset in `reference` (UTF-16 units) at which parsing stopped. */
  readonly position: number

  constructor(reference: string, position: number, reason: string) {
    super(`Invalid image reference ${JSON.stringify(reference)} at position ${position}: ${reason}.`, {
      code: 'ERR_INVALID_REFERENCE',
    })
    this.reference = reference
    this.position = position
  }
}

/** This host lacks something. `feature` is a name from `Engine.info()`, `probe` says what was looked at and what it said. */
export class UnsupportedHostError extends WherryError {
  readonly feature: string
  readonly probe: string

  constructor(feature: string, probe: string, hint?: string, cause?: unknown) {
    super(`This host does not support ${feature}: ${probe}.`, { code: 'ERR_UNSUPPORTED_HOST', hint, cause })
    this.feature = feature
    this.probe = probe
  }
}

/** Bytes do not match what was announced for them. Nothing of them was kept. */
export class IntegrityError extends WherryError {
  readonly expected: string
  readonly actual: string

  constructor(what: string, expected: string, actual: string) {
    super(`${what} does not match: expected ${expected}, got ${actual}.`, { code: 'ERR_INTEGRITY' })
    this.expected = expected
    this.actual = actual
  }
}

/** A layer or image archive is malformed, hostile or over a limit. `entry` names the member. */
export class LayerError extends WherryError {
  readonly layer: string
  readonly entry: string | undefined

  constructor(
    layer: string,
    entry: string | undefined,
    reason: string,
    options: { hint?: string; cause?: unknown } = {},
  ) {
    const where = entry === undefined ? '' : `, entry ${JSON.stringify(entry)}`
    super(`Layer ${layer}${where}: ${reason}.`, { code: 'ERR_LAYER', ...options })
    this.layer = layer
    this.entry = entry
  }
}

/** No variant of the image fits the wanted platform. */
export class PlatformError extends WherryError {
  readonly wanted: string
  readonly available: readonly string[]

  constructor(image: string, wanted: string, available: readonly string[]) {
    super(`Image ${image} has no variant for ${wanted}; available: ${available.join(', ') || 'none'}.`, {
      code: 'ERR_PLATFORM',
    })
    this.wanted = wanted
    this.available = available
  }
}

/** The named image, container, file or user does not exist. */
export class NotFoundError extends WherryError {
  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, { code: 'ERR_NOT_FOUND', hint, cause })
  }
}

/** Something with that name exists, or is in use. */
export class ConflictError extends WherryError {
  constructor(message: string, hint?: string) {
    super(message, { code: 'ERR_CONFLICT', hint })
  }
}

/** The operation is not allowed in the object's present state. */
export class ContainerStateError extends WherryError {
  readonly state: string
  readonly operation: string
  readonly allowed: readonly string[]

  constructor(subject: string, state: string, operation: string, allowed: readonly string[]) {
    super(`Cannot ${operation} ${subject}: it is ${state}; allowed when ${allowed.join(' or ')}.`, {
      code: 'ERR_CONTAINER_STATE',
    })
    this.state = state
    this.operation = operation
    this.allowed = allowed
  }
}

/** How a container ended, for {@link ContainerEndedError}. */
export interface ContainerEnd {
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly oomKilled: boolean
}

/** A container ended before it was what somebody waited for. */
export class ContainerEndedError extends WherryError implements ContainerEnd {
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly oomKilled: boolean

  constructor(name: string, awaited: string, end: ContainerEnd, seen: string) {
    const how = end.oomKilled
      ? 'was killed for want of memory'
      : end.killSignal === null
        ? `ended with exit code ${end.exitCode}`
        : `was killed by ${end.killSignal}`
    super(`Container ${name} ${how} while ${awaited} was waited for. ${seen}`, { code: 'ERR_CONTAINER_ENDED' })
    this.exitCode = end.exitCode
    this.killSignal = end.killSignal
    this.oomKilled = end.oomKilled
  }
}

/** The container's first process never ran. `exitCode` is what a shell or Docker would report (125, 126, 127). */
export class ContainerStartError extends WherryError {
  readonly exitCode: 125 | 126 | 127
  readonly step: string | undefined
  readonly cleanupErrors: readonly unknown[]

  constructor(
    message: string,
    options: {
      exitCode: 125 | 126 | 127
      step?: string | undefined
      hint?: string | undefined
      cause?: unknown
      cleanupErrors?: readonly unknown[]
    },
  ) {
    super(message, { code: 'ERR_CONTAINER_START', hint: options.hint, cause: options.cause })
    this.exitCode = options.exitCode
    this.step = options.step
    this.cleanupErrors = options.cleanupErrors ?? []
  }
}

/** Something took longer than the caller allowed. */
export class TimeoutError extends WherryError {
  readonly timeoutMs: number

  /** @param seen - what there was to see until then, as sentences. */
  constructor(what: string, timeoutMs: number, seen = '') {
    super(`${what} took longer than ${timeoutMs} ms.${seen === '' ? '' : ` ${seen}`}`, { code: 'ERR_TIMEOUT' })
    this.timeoutMs = timeoutMs
  }
}

/** One entry of the error list in a registry's answer. Bounded and printable, but the registry's words. */
export interface RegistryDiagnostic {
  /** Such as `MANIFEST_UNKNOWN`. */
  readonly code: string
  readonly message: string
}

/** What went wrong in a talk with a registry. */
export interface RegistryErrorDetails {
  /** HTTP status, or `undefined` where there was no answer. */
  status?: number | undefined
  method: string
  /** Without user, password and secret parameters. */
  url: string
  diagnostics?: readonly RegistryDiagnostic[]
  temporary?: boolean
  retryAfterMs?: number | undefined
  code?: string
  hint?: string | undefined
  cause?: unknown
}

/** A registry answered with an error, with nonsense, or not at all. */
export class RegistryError extends WherryError {
  readonly status: number | undefined
  readonly method: string
  /** Without user, password and secret parameters. */
  readonly url: string
  /** The registry's own list of errors, at most 10. @source https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes */
  readonly diagnostics: readonly RegistryDiagnostic[]
  /** Whether the same request may succeed later. */
  readonly temporary: boolean
  /** How long the registry asked to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(intent: string, reason: string, details: RegistryErrorDetails) {
    super(`${intent}: ${details.method} ${details.url} ${reason}.`, {
      ...details,
      code: details.code ?? 'ERR_REGISTRY',
    })
    this.status = details.status
    this.method = details.method
    this.url = details.url
    this.diagnostics = details.diagnostics ?? []
    this.temporary = details.temporary ?? false
    this.retryAfterMs = details.retryAfterMs
  }
}

/** A registry, or the service that hands out its tokens, refused the credentials or the lack of them. */
export class RegistryAuthError extends RegistryError {
  constructor(intent: string, reason: string, details: RegistryErrorDetails) {
    super(intent, reason, { code: 'ERR_REGISTRY_AUTH', ...details })
  }
}

/** An image is of a kind that is not supported, such as Docker schema 1. `feature` names it. */
export class UnsupportedImageError extends WherryError {
  readonly feature: string

  constructor(image: string, feature: string, hint?: string) {
    super(`Image ${image} cannot be used: it has ${feature}.`, { code: 'ERR_UNSUPPORTED_IMAGE', hint })
    this.feature = feature
  }
}

function describeValue(value: unknown): string {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
    case 'number':
    case 'boolean':
    case 'bigint':
    case 'undefined':
      return String(value)
    case 'object':
      return Array.isArray(value) ? 'an array' : 'an object'
    default:
      return `a ${typeof value}`
  }
}

/** What a finished run is known by; `RunResult` has the same fields. */
export interface ExitDetails {
  exitCode: number | null
  killSignal: string | null
  stdout: string | Buffer
  stderr: string | Buffer
  oomKilled: boolean
  timedOut: boolean
  durationMs: number
  usage: { cpuMicros: number; userMicros: number; systemMicros: number; maxRssBytes: number }
  id: string
}

/**
 * The container's program failed: it exited with a code other than 0 or was killed (`code` `ERR_EXIT`), or ran out of time
 * (`ERR_TIMEOUT`).
 */
export class ExitError extends WherryError implements ExitDetails {
  readonly exitCode: number | null
  readonly killSignal: string | null
  readonly stdout: string | Buffer
  readonly stderr: string | Buffer
  readonly oomKilled: boolean
  readonly timedOut: boolean
  readonly durationMs: number
  readonly usage: ExitDetails['usage']
  readonly id: string
  /** The whole result. */
  readonly result: ExitDetails

  constructor(message: string, result: ExitDetails, options: { code?: string; hint?: string | undefined } = {}) {
    super(message, { code: options.code ?? 'ERR_EXIT', hint: options.hint })
    this.exitCode = result.exitCode
    this.killSignal = result.killSignal
    this.stdout = result.stdout
    this.stderr = result.stderr
    this.oomKilled = result.oomKilled
    this.timedOut = result.timedOut
    this.durationMs = result.durationMs
    this.usage = result.usage
    this.id = result.id
    this.result = result
  }
}
