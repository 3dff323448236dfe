// SPDX-License-Identifier: MIT
// Bounds of a registry server: sizes of blobs, numbers of connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../lib/oci/digest.ts'
import type { RegistryServer } from '../../lib/registry-server/registry-server.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { type Answer, assertError, pushBlob, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

const kMaxBlobBytes = 100_000

/** Sends a body whose length is not announced. */
async function sendChunked(server: RegistryServer, method: string, path: string, chunks: Buffer[]): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port: server.port, method, path, agent: false })
  const answered = once(call, 'response')
  for (const chunk of chunks) call.write(chunk)
  call.end()
  const [response] = await answered
  const body: Buffer[] = []
  for await (const chunk of response) body.push(chunk)
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(body) }
}

test('a blob that is larger than maxBlobBytes is refused, however it comes', async (t) => {
  const server = await startRegistry(t, { maxBlobBytes: kMaxBlobBytes })
  const fits = Buffer.alloc(kMaxBlobBytes, 'x')
  const tooLarge = Buffer.alloc(kMaxBlobBytes + 1, 'x')
  assert.equal(await pushBlob(server, 'app', fits), digestOf(fits))
  const whole = `/v2/app/blobs/uploads/?digest=${digestOf(tooLarge)}`
  const refused = (answer: Answer): void => {
    assertError(answer, 413, 'SIZE_INVALID')
    assert.match(answer.body.toString(), /larger than \d+ bytes/)
  }
  refused(await send(server, 'POST', whole, { body: tooLarge, headers: { 'Content-Length': tooLarge.length } }))
  refused(await sendChunked(server, 'POST', whole, [tooLarge.subarray(0, 60_000), tooLarge.subarray(60_000)]))
  assert.deepEqual(await readdir(join(server.root, 'uploads')), [])
  // In pieces: what came before the piece that is too much stays.
  const place = (await send(server, 'POST', '/v2/app/blobs/uploads/')).headers.location ?? ''
  assert.equal((await send(server, 'PATCH', place, { body: tooLarge.subarray(0, 60_000) })).status, 202)
  refused(await send(server, 'PATCH', place, { body: tooLarge.subarray(60_000) }))
  refused(await sendChunked(server, 'PATCH', place, [tooLarge.subarray(60_000)]))
  refused(await send(server, 'PUT', `${place}?digest=${digestOf(tooLarge)}`, { body: tooLarge.subarray(60_000) }))
  assert.equal((await send(server, 'GET', place)).headers.range, '0-59999')
  const end = await send(server, 'PUT', `${place}?digest=${digestOf(fits)}`, { body: fits.subarray(60_000) })
  assert.equal(end.status, 201, end.body.toString())
  assert.equal((await send(server, 'HEAD', `/v2/app/blobs/${digestOf(tooLarge)}`)).status, 404)
  assert.deepEqual(await readdir(join(server.root, 'uploads')), [])
})

/** A connection that asks one thing and stays open. @returns the answer's first line, `closed` where there is none */
async function ping(t: TestContext, { port }: RegistryServer): Promise<{ socket: Socket; said: string }> {
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  const said = await Promise.race([
    once(socket, 'data').then(([data]) => String(data).split('\r\n')[0] ?? ''),
    once(socket, 'close').then(() => 'closed'),
  ])
  return { socket, said }
}

test('connections beyond maxConnections are closed at once, and there is room again when one ends', async (t) => {
  const server = await startRegistry(t, { maxConnections: 3 })
  const open = [await ping(t, server), await ping(t, server), await ping(t, server)]
  assert.deepEqual(
    open.map(({ said }) => said),
    ['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK', 'HTTP/1.1 200 OK'],
  )
  assert.equal((await ping(t, server)).said, 'closed')
  const [first] = open
  first?.socket.end()
  await once(first?.socket as Socket, 'close')
  assert.equal((await ping(t, server)).said, 'HTTP/1.1 200 OK')
  assert.equal((await ping(t, server)).said, 'closed')
})
