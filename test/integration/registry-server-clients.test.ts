// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../../lib/oci/digest.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { tempDir } from './image-fixtures.ts'
import { send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

test('cuts a client that stalls, and keeps nothing of a blob that it had begun', async (t) => {
  const root = join(await tempDir(t), 'root')
  const server = await startRegistry(t, { root, idleTimeoutMs: 50 })
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => undefined)
  const target = `/v2/app/blobs/uploads/?digest=${digestOf('late')}`
  socket.write(`POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nla`)
  await new Promise((resolve) => socket.once('close', resolve))
  await server.close()
  assert.deepEqual(await readdir(join(root, 'uploads')), [])
})

test('a client that comes back takes its upload from a connection that hangs', async (t) => {
  const server = await startRegistry(t)
  const place = (await send(server, 'POST', '/v2/app/blobs/uploads/')).headers.location ?? ''
  const hanging = connect(server.port, '127.0.0.1')
  hanging.on('error', () => undefined)
  const cut = new Promise((resolve) => hanging.once('close', resolve))
  hanging.write(`PATCH ${place} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ncon`)
  let range = ''
  while (range !== '0-2') range = (await send(server, 'GET', place)).headers.range ?? ''
  const headers = { 'Content-Range': '3-5', 'Content-Length': 3 }
  const end = await send(server, 'PUT', `${place}?digest=${digestOf('config')}`, { body: 'fig', headers })
  assert.equal(end.status, 201, end.body.toString())
  await cut
})

test('a client that asks first learns of a refusal before it sends', async (t) => {
  const server = await startRegistry(t, { auth: { username: 'me', password: 'secret' } })
  const target = `/v2/app/blobs/uploads/?digest=${digestOf('bytes')}`
  const ask = async (headers: Record<string, string>) => {
    const socket = connect(server.port, '127.0.0.1')
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(
      `POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n${lines.join('')}\r\n`,
    )
    const [answer] = await once(socket, 'data')
    socket.destroy()
    return String(answer).split('\r\n')[0]
  }
  assert.equal(await ask({}), 'HTTP/1.1 401 Unauthorized')
  const authorization = `Basic ${Buffer.from('me:secret').toString('base64')}`
  assert.equal(await ask({ Authorization: authorization }), 'HTTP/1.1 100 Continue')
})
