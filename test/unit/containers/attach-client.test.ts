// SPDX-License-Identifier: MIT
// Connections to a container's streams, with a server in place of its launcher.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { AttachClient } from '../../../lib/containers/attach-client.ts'
import { frame, kFrame } from '../../../lib/containers/attach-frames.ts'
import { until } from '../../helpers/until.ts'

const kHello = frame(kFrame.hello, Buffer.from([2]))
const kRounds = 512
const kChunk = Buffer.alloc(64 * 1024, 'x')

/** @param greeting - what the launcher says first; nothing: it hangs */
async function connected(
  t: TestContext,
  greeting: Buffer | undefined = kHello,
): Promise<{ directory: string; launcher: Promise<Socket> }> {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-attach-'))
  const server = createServer()
  const launcher = new Promise<Socket>((resolve) => {
    server.once('connection', (socket) => {
      socket.on('error', () => undefined)
      if (greeting !== undefined) socket.write(greeting)
      t.after(() => socket.destroy())
      resolve(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(join(directory, 'attach'), resolve))
  t.after(async () => {
    server.close()
    await rm(directory, { recursive: true, force: true })
  })
  return { directory, launcher }
}

async function attached(t: TestContext): Promise<{ client: AttachClient; launcher: Socket }> {
  const { directory, launcher } = await connected(t)
  const client = (await AttachClient.connect(directory, undefined)) ?? assert.fail('nobody is there')
  t.after(() => client.close())
  return { client, launcher: await launcher }
}

test('output that nobody reads waits at the launcher, whoever reads the other stream', async (t) => {
  const { client, launcher } = await attached(t)
  let heard = 0
  client.stderr?.on('data', (chunk: Buffer) => {
    heard += chunk.length
  })
  const both = Buffer.concat([frame(kFrame.stdout, kChunk.subarray(0, 8192)), frame(kFrame.stderr, Buffer.from('e'))])
  for (let i = 0; i < kRounds; i++) {
    launcher.write(both)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(client.stdout.readableLength < 4 * kChunk.length, `${client.stdout.readableLength} bytes are put by`)
  client.stdout.resume()
  await until(() => heard === kRounds, 'all of the other stream')
  launcher.end()
  await client.closed
})

test('a stream that its reader gives up holds nothing back', async (t) => {
  const { client, launcher } = await attached(t)
  client.stderr?.resume()
  const error = frame(kFrame.stderr, kChunk)
  while (launcher.write(frame(kFrame.stdout, kChunk)));
  await until(() => client.stdout.readableLength > 0, 'output')
  client.stdout.destroy()
  launcher.write(error)
  launcher.end()
  await client.closed
})

test('leaving while output waits ends the streams', async (t) => {
  const { client, launcher } = await attached(t)
  while (launcher.write(frame(kFrame.stdout, kChunk)));
  await until(() => client.stdout.readableLength > 0, 'output')
  client.close()
  await client.closed
  let end = false
  client.stdout.once('end', () => {
    end = true
  })
  client.stdout.resume()
  await until(() => end, 'the end')
})
