/** One challenge of a `WWW-Authenticate` header. */
export interface AuthChallenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

const kMaxHeaderLength = 16 * 1024
const kToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
// Credentials in one word, which may end with padding.
const kToken68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y
const kBlank = /[ \t]*/y
const kSeparators = /[ \t,]*/y
const kEquals = /[ \t]*=[ \t]*/y
const kQuoted = /"((?:[^"\\]|\\.)*)"/y

/**
 * Parses `WWW-Authenticate` headers, each with one or more challenges. What cannot be read ends the header it is in; the
 * challenges before it count.
 *
 * @source https://www.rfc-editor.org/rfc/rfc9110.html#section-11.6.1
 */
export function parseChallenges(headers: string | readonly string[] | undefined): AuthChallenge[] {
  const list = headers === undefined ? [] : typeof headers === 'string' ? [headers] : headers
  return list.flatMap((header) => parseHeader(header.slice(0, kMaxHeaderLength)))
}

function parseHeader(header: string): AuthChallenge[] {
  const challenges: AuthChallenge[] = []
  const cursor = new Cursor(header)
  for (;;) {
    cursor.take(kSeparators)
    const scheme = cursor.take(kToken)
    if (scheme === undefined) return challenges
    cursor.take(kBlank)
    challenges.push({ scheme: scheme[0].toLowerCase(), parameters: parseParameters(cursor) })
  }
}

function parseParameters(cursor: Cursor): Map<string, string> {
  const parameters = new Map<string, string>()
  // Nothing of ours reads it, but it is not to be taken for what follows.
  cursor.take(kToken68)
  for (;;) {
    const start = cursor.position
    cursor.take(kSeparators)
    const name = cursor.take(kToken)
    if (name === undefined || cursor.take(kEquals) === undefined) {
      // No parameter: the next challenge starts here.
      cursor.position = start
      return parameters
    }
    const value = takeValue(cursor)
    if (value === undefined) {
      cursor.position = Number.POSITIVE_INFINITY
      return parameters
    }
    const key = name[0].toLowerCase()
    if (!parameters.has(key)) parameters.set(key, value)
  }
}

function takeValue(cursor: Cursor): string | undefined {
  const quoted = cursor.take(kQuoted)
  if (quoted !== undefined) return (quoted[1] ?? '').replace(/\\(.)/g, '$1')
  // Some registries leave the quotes out around values that need them.
  return cursor.take(/[^\s,"]+/y)?.[0]
}

class Cursor {
  position = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    if (this.position > this.#text.length) return undefined
    const sticky = new RegExp(pattern, 'y')
    sticky.lastIndex = this.position
    const match = sticky.exec(this.#text)
    if (match === null) return undefined
    this.position = sticky.lastIndex
    return match
  }
}
