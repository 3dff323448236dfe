// SPDX-License-Identifier: MIT
import type { ByteString } from './byte-string.ts'

/**
 * Cleans a name from an archive the way containers/storage does: `.` and empty components go, `..` is resolved by
 * the text alone, and a leading `/` means the root of the layer, above which `..` stays.
 *
 * @returns the components, none for the root itself; `undefined` when a relative name leads out of the layer.
 */
export function cleanEntryPath(name: ByteString): ByteString[] | undefined {
  const parts: ByteString[] = []
  const isAbsolute = name.startsWith('/')
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0) parts.pop()
    else if (!isAbsolute) return undefined
  }
  return parts
}
