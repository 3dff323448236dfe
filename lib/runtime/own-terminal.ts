// SPDX-License-Identifier: MIT
import type { Native } from '../launcher/native.ts'

/**
 * Lets keys through our own terminal as they are, where standard input is one. Node's own raw mode is for input only: a bare line feed
 * would still return the carriage, and be drawn wrong.
 *
 * @returns what undoes that
 */
export function makeOwnTerminalRaw(native: Native): () => void {
  const { stdin } = process
  if (!stdin.isTTY) return () => undefined
  let settings: Uint8Array
  try {
    settings = native.makeRaw(stdin.fd)
  } catch {
    // It has hung up; its input ends by itself.
    return () => undefined
  }
  const restore = (): void => {
    try {
      native.restoreTerminal(stdin.fd, settings)
    } catch {
      // Hung up meanwhile.
    }
  }
  process.once('exit', restore)
  return () => {
    process.off('exit', restore)
    restore()
  }
}

/** Tells the size of our own terminal now and when it changes, where standard output is one. @returns what ends that */
export function followOwnTerminal(resize: (rows: number, columns: number) => void): () => void {
  const { stdout } = process
  const onResize = (): void => {
    if (stdout.isTTY) resize(stdout.rows, stdout.columns)
  }
  onResize()
  stdout.on('resize', onResize)
  return () => {
    stdout.off('resize', onResize)
  }
}
