// SPDX-License-Identifier: MIT
import { request } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Asks an HTTP server for a path, over a connection that is closed then.
 *
 * @returns the status; the body is not read. @throws `signal.reason`
 */
export function httpStatus(socket: Socket, host: string, path: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    const headers = { host, connection: 'close', accept: '*/*', 'user-agent': 'wherry' }
    const asked = request({ createConnection: () => socket, path, headers }, (response) => {
      resolve(response.statusCode ?? 0)
      response.destroy()
    })
    asked.on('error', reject)
    asked.on('close', () => {
      signal.removeEventListener('abort', abort)
      socket.destroy()
      reject(new Error('the connection was closed without an answer'))
    })
    asked.end()
    if (signal.aborted) abort()
  })
}
