// SPDX-License-Identifier: MIT
import type { Socket } from 'node:net'

const kPatienceMs = 1_000

/**
 * Ends a connection by which somebody has only looked whether there is an answer. What comes is read away for a while: a connection
 * that is closed with unread bytes is reset, and the simplest servers end by that.
 *
 * @source tcp(7), RFC 9293 section 3.6.1
 */
export function hangUp(socket: Socket): void {
  socket.on('error', () => undefined)
  const timer = setTimeout(() => socket.destroy(), kPatienceMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.unref()
  socket.resume()
  socket.end()
}
