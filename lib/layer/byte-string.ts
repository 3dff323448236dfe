// SPDX-License-Identifier: MIT
import type { NativePath } from '../launcher/fs-native.ts'

/**
 * Names in a tar archive are bytes of no stated encoding. Inside lib/layer they travel as byte strings: strings with one
 * char (0–255) per byte, which compare, split and serve as map keys without loss.
 */
export type ByteString = string

/** Turns a byte string into what the addon takes as a path. */
export function toNativePath(name: ByteString): NativePath {
  for (let i = 0; i < name.length; i++) {
    if (name.charCodeAt(i) > 127) return Buffer.from(name, 'latin1')
  }
  return name
}

/** Turns a byte string into text for a message: UTF-8 where it is that, shortened to 200 characters. */
export function toDisplay(name: ByteString): string {
  const text = Buffer.from(name.slice(0, 1000), 'latin1').toString('utf8')
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
