// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { Reference } from './reference.ts'

/**
 * Compiles a pattern as `docker images --filter reference=` takes it: `*` and `?` stop at slashes, `[a-z]` and `[^a-z]` are one
 * character, a backslash takes the next character as it is. It is matched against what a person would write (`alpine:3.20`,
 * `ghcr.io/o/r:tag`) with and without tag.
 *
 * @returns a function that tells whether a canonical reference fits.
 * @throws {InvalidOptionError} for a bracket that is not closed, and the like.
 * @source https://pkg.go.dev/path#Match, https://docs.docker.com/reference/cli/docker/image/ls/#reference
 */
export function compileReferencePattern(option: string, pattern: string): (reference: string) => boolean {
  const expression = compile(option, pattern)
  return (text) => {
    const reference = Reference.parse(text)
    const short = reference.toShortString()
    const name = short.slice(0, short.length - reference.toString().length + reference.name.length)
    return [text, reference.name, short, name].some((spelling) => expression.test(spelling))
  }
}

function compile(option: string, pattern: string): RegExp {
  const invalid = (): InvalidOptionError =>
    new InvalidOptionError(option, 'a pattern of *, ?, [a-z] and characters', pattern)
  let source = ''
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] as string
    if (char === '*') source += '[^/]*'
    else if (char === '?') source += '[^/]'
    else if (char === '[') {
      const end = pattern.indexOf(']', at + 2)
      const body = /^\[(\^?)((?:[\w.:@/]-[\w.:@/]|[\w.:@/-])+)\]$/.exec(pattern.slice(at, end + 1))
      if (end < 0 || body === null) throw invalid()
      source += `[${body[1]}${escapeClass(body[2] ?? '')}]`
      at = end
    } else {
      if (char === '\\') at++
      const literal = pattern[at]
      if (literal === undefined) throw invalid()
      source += literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
    }
  }
  try {
    return new RegExp(`^${source}$`, 's')
  } catch {
    throw invalid()
  }
}

function escapeClass(body: string): string {
  return body.replace(/\//g, '\\/')
}
