// SPDX-License-Identifier: MIT
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import type { TestContext } from 'node:test'

/** Lets a server of HTTP or TCP listen on a free port of loopback until the test ends. @returns `127.0.0.1:port` */
export async function listen(t: TestContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    const closed = once(server, 'close')
    server.close()
    const { closeAllConnections } = server as Server & { closeAllConnections?: () => void }
    closeAllConnections?.call(server)
    await closed
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
