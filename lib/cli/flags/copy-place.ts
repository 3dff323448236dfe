// SPDX-License-Identifier: MIT
import { CliError } from '../errors.ts'

/** One side of a copy. */
export type CopyPlace =
  | { readonly kind: 'stream' }
  | { readonly kind: 'host'; readonly path: string }
  | { readonly kind: 'container'; readonly name: string; readonly path: string }

/**
 * Reads `container:path`, a path of the host, or `-`. As with Docker, a path that begins with `/` or `.` is the host's, also with a
 * colon in it.
 */
export function parseCopyPlace(text: string): CopyPlace {
  if (text === '-') return { kind: 'stream' }
  const [, name = '', path = ''] = /^([^:]*):(.*)$/s.exec(text) ?? []
  if (/^[./]/.test(text) || !text.includes(':')) return { kind: 'host', path: text }
  if (name === '' || path === '') throw new CliError(`'${text}' is not of the form container:path.`)
  return { kind: 'container', name, path }
}
