// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { on, once } from 'node:events'
import { readdir, statfs } from 'node:fs/promises'
import { get, request } from 'node:http'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { digestOf } from '../../lib/oci/digest.ts'
import { serveRegistry } from '../../lib/registry-server/registry-server.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { skipOrFail } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { tempDir } from './image-fixtures.ts'
import { makeManifest, pushBlob, pushManifest, send, startRegistry } from './registry-server-fixtures.ts'

checkLeftovers()

const kChild = fileURLToPath(import.meta.url.replace(/\.test\.(js|ts)$/, '.$1'))
const kGiB = 1024 ** 3

interface ChildRegistry {
  port: number
  child: ChildProcess
  nextLine: () => Promise<string>
}

test('a blob of 2 GiB passes through constant memory', async (t) => {
  const dir = await tempDir(t)
  const { bavail, bsize } = await statfs(dir)
  if (bavail * bsize < 4 * kGiB) return skipOrFail(t, 'needs 4 GiB of free space')
  const { port, child, nextLine } = await startChild(t, join(dir, 'root'))
  const chunk = Buffer.alloc(1024 * 1024, 'wherry')
  const count = 2048
  const hash = createHash('sha256')
  for (let index = 0; index < count; index++) hash.update(chunk)
  const digest = `sha256:${hash.digest('hex')}`

  const headers = { 'Content-Length': chunk.byteLength * count }
  const call = request({ port, method: 'POST', path: `/v2/big/blobs/uploads/?digest=${digest}`, headers, agent: false })
  const answered = once(call, 'response')
  await pipeline(Readable.from(repeat(chunk, count), { objectMode: false, highWaterMark: 1024 * 1024 }), call)
  const [response] = await answered
  response.resume()
  assert.equal(response.statusCode, 201)

  const download = get({ port, path: `/v2/big/blobs/${digest}`, agent: false })
  const [body] = await once(download, 'response')
  const received = createHash('sha256')
  for await (const part of body) received.update(part)
  assert.equal(`sha256:${received.digest('hex')}`, digest)

  child.stdin?.end()
  const { growth } = JSON.parse(await nextLine()) as { growth: number }
  t.diagnostic(`resident growth ${Math.round(growth / 1024 ** 2)} MiB`)
  assert.ok(growth < 100 * 1024 ** 2, `grew by ${growth} bytes`)
})

test('what was complete outlives kill -9, and an upload that was cut goes on', async (t) => {
  const dir = await tempDir(t)
  const root = join(dir, 'root')
  const bytes = Buffer.alloc(3 * 1024 * 1024, 'cut')
  const digest = digestOf(bytes)
  const { port, child } = await startChild(t, root)
  const running = { port } as Parameters<typeof send>[0]
  await pushBlob(running, 'app', 'config')
  const manifest = makeManifest('config', [])
  await pushManifest(running, 'app', 'v1', manifest)
  const place = (await send(running, 'POST', '/v2/app/blobs/uploads/')).headers.location ?? ''
  const sending = request({
    port,
    method: 'PATCH',
    path: place,
    agent: false,
    headers: { 'Content-Length': bytes.length },
  })
  sending.on('error', () => undefined)
  sending.write(bytes.subarray(0, 1024 * 1024))
  const arrived = async (): Promise<boolean> => {
    return (await send(running, 'GET', place)).headers.range === `0-${1024 * 1024 - 1}`
  }
  await until(arrived, 'the first bytes have arrived')
  child.kill('SIGKILL')
  await once(child, 'exit')
  sending.destroy()

  const server = await startRegistry(t, { root })
  assert.equal((await send(server, 'GET', '/v2/app/manifests/v1')).body.toString(), manifest)
  assert.equal((await send(server, 'HEAD', `/v2/app/blobs/${digest}`)).status, 404)
  const range = (await send(server, 'GET', place)).headers.range ?? ''
  const offset = Number(range.slice(2)) + 1
  assert.equal(offset, 1024 * 1024)
  const end = await send(server, 'PUT', `${place}?digest=${digest}`, {
    body: bytes.subarray(offset),
    headers: { 'Content-Range': `${offset}-${bytes.length - 1}` },
  })
  assert.equal(end.status, 201, end.body.toString())
  assert.deepEqual((await send(server, 'GET', `/v2/app/blobs/${digest}`)).body, bytes)

  await send(server, 'POST', '/v2/app/blobs/uploads/')
  await server.close()
  const later = await serveRegistry({ root, maxUploadAgeMs: 0 })
  await later.close()
  assert.deepEqual(await readdir(join(root, 'uploads')), [])
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('several servers on one root see the same images and go on with uploads of each other', async (t) => {
  const root = join(await tempDir(t), 'root')
  const [one, two] = [await startRegistry(t, { root }), await startRegistry(t, { root })]
  const place = (await send(one, 'POST', '/v2/app/blobs/uploads/')).headers.location ?? ''
  for (const [server, body] of [
    [one, 'con'],
    [two, 'f'],
    [one, 'ig'],
  ] as const) {
    assert.equal((await send(server, 'PATCH', place, { body })).status, 202)
  }
  assert.equal((await send(two, 'PUT', `${place}?digest=${digestOf('config')}`)).status, 201)
  assert.equal((await send(one, 'PUT', `${place}?digest=${digestOf('config')}`)).status, 404)
  assert.equal((await pushManifest(one, 'app', 'v1', makeManifest('config', []))).status, 201)
  assert.equal((await send(two, 'GET', '/v2/app/manifests/v1')).status, 200)
})

test('a server of another process on the same root serves what the first stored, and goes on with its uploads', async (t) => {
  const root = join(await tempDir(t), 'root')
  const [one, two] = [await startRegistry(t, { root }), await startChild(t, root)]
  const both = [one, two as unknown as typeof one]
  const bytes = Buffer.alloc(300_000, 'of two processes')
  const place = (await send(one, 'POST', '/v2/app/blobs/uploads/')).headers.location ?? ''
  for (const [index, server] of [...both, ...both].entries()) {
    const body = bytes.subarray(index * 60_000, (index + 1) * 60_000)
    const patched = await send(server, 'PATCH', place, { body })
    assert.equal(patched.status, 202, patched.body.toString())
    assert.equal(patched.headers.range, `0-${(index + 1) * 60_000 - 1}`)
  }
  const target = `${place}?digest=${digestOf(bytes)}`
  const end = await send(both[1]!, 'PUT', target, { body: bytes.subarray(240_000) })
  assert.equal(end.status, 201, end.body.toString())
  for (const server of both)
    assert.deepEqual((await send(server, 'GET', `/v2/app/blobs/${digestOf(bytes)}`)).body, bytes)
  // Both push images of shared and of own layers at the same time, some of them the same ones.
  await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const server = both[index % 2]!
      const layers = ['base', `layer ${index >> 1}`]
      for (const blob of ['config', ...layers]) await pushBlob(server, 'app', blob)
      assert.equal((await pushManifest(server, 'app', `v${index}`, makeManifest('config', layers))).status, 201)
    }),
  )
  for (let index = 0; index < 24; index++) {
    const other = both[1 - (index % 2)]!
    const manifest = makeManifest('config', ['base', `layer ${index >> 1}`])
    assert.equal((await send(other, 'GET', `/v2/app/manifests/v${index}`)).body.toString(), manifest)
    assert.equal((await send(other, 'GET', `/v2/app/blobs/${digestOf(`layer ${index >> 1}`)}`)).status, 200)
  }
  two.child.stdin?.end()
  await once(two.child, 'exit')
  assert.deepEqual(await readdir(join(root, 'uploads')), [])
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

async function startChild(t: TestContext, root: string): Promise<ChildRegistry> {
  const child = spawn(execPath, [kChild, root], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const lines = on(createInterface(child.stdout), 'line', { close: ['close'] })
  const nextLine = async () => String(((await lines.next()).value as unknown[])[0])
  return { port: Number(await nextLine()), child, nextLine }
}

function* repeat(chunk: Buffer, count: number): Generator<Buffer> {
  for (let index = 0; index < count; index++) yield chunk
}
