// SPDX-License-Identifier: MIT
// A push to a registry that stops answering, aborted: it ends soon, with the signal's reason, and its connections with it.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Image } from '../../lib/image.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { listen } from '../helpers/listen.ts'
import { needs } from '../helpers/needs.ts'
import { until } from '../helpers/until.ts'
import { makeRootfs, openEngine, packTar, tempDir } from './image-fixtures.ts'

checkLeftovers()

const kPhases = ['ping', 'token', 'head', 'post', 'put', 'status', 'patch', 'commit', 'manifest', 'body'] as const
type Phase = (typeof kPhases)[number]

/** Far below what a registry may take by itself, far above what an abort takes on a busy machine. */
const kSoonMs = 20_000
/** Bytes of an upload after which the connection is cut, where the phase is one of going on with it. */
const kCutBytes = 100_000

/** What a request of a push is about. */
function phaseOf({ method, url = '' }: IncomingMessage, wasCut: boolean): Phase | 'cancel' {
  if (url === '/v2/') return 'ping'
  if (url.startsWith('/token')) return 'token'
  if (url.includes('/manifests/')) return 'manifest'
  if (method === 'PUT') return wasCut ? 'commit' : 'put'
  if (method === 'GET') return 'status'
  const phases: Record<string, Phase | 'cancel'> = { HEAD: 'head', POST: 'post', PATCH: 'patch', DELETE: 'cancel' }
  return phases[method ?? ''] ?? 'ping'
}

/** A registry that answers until `silent`, and from there on no more, not even to somebody who cancels. */
async function startSilentRegistry(t: TestContext, silent: Phase) {
  /** Connections on which somebody waits for an answer. */
  const waiting = new Set<Socket>()
  const unread: IncomingMessage[] = []
  const state = { isSilent: false, wasCut: false, host: '' }
  const uploads = `/v2/demo/blobs/uploads/1`
  const isLater = kPhases.indexOf(silent) >= kPhases.indexOf('status') && silent !== 'manifest' && silent !== 'body'
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const phase = phaseOf(request, state.wasCut)
    if (phase === silent || state.isSilent) {
      state.isSilent = true
      unread.push(request)
      return
    }
    if (silent === 'body' && phase === 'manifest') {
      // The head of an error, and never the whole of its body.
      response.writeHead(400).write('{')
      state.isSilent = true
      return
    }
    if (phase === 'put' && isLater) {
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes < kCutBytes) return
        state.wasCut = true
        request.socket.destroy()
      })
      return
    }
    request.resume().once('end', () => {
      if (phase === 'token') return response.end('{"token":"t"}')
      if (request.headers.authorization === undefined && silent === 'token') {
        response.setHeader('WWW-Authenticate', `Bearer realm="http://${state.host}/token",service="s"`)
        return response.writeHead(401).end()
      }
      if (phase === 'head') return response.writeHead(404).end()
      if (phase === 'post' || phase === 'patch') return response.writeHead(202, { Location: uploads }).end()
      if (phase === 'status') return response.writeHead(204, { Location: uploads, Range: '0-9999' }).end()
      return response.writeHead(phase === 'ping' ? 200 : 201).end()
    })
  }
  const server = createServer((request, response) => {
    waiting.add(request.socket)
    response.once('finish', () => waiting.delete(request.socket))
    request.socket.once('close', () => waiting.delete(request.socket))
    answer(request, response)
  })
  state.host = await listen(t, server)
  return { host: state.host, state, waiting, unread }
}

test('an aborted push ends soon, whatever the registry does not answer', async (t) => {
  if (!needs(t, 'command:tar')) return
  const dir = await tempDir(t)
  const engine = await openEngine(t, join(dir, 'root'))
  // Its layer is larger than what is sent before a cut, and than what the kernel takes off a sender's hands.
  const image = await Image.import(await packTar(await makeRootfs(dir), join(dir, 'rootfs.tar')), { engine })
  for (const silent of kPhases) {
    await t.test(silent, async (t) => {
      const { host, state, waiting, unread } = await startSilentRegistry(t, silent)
      const aborting = new AbortController()
      const pushed = image.push(`${host}/demo:1`, { signal: aborting.signal })
      const failed = assert.rejects(pushed, (error) => error === reason)
      const reason = new Error('the user has changed their mind')
      await until(() => state.isSilent, `the registry falls silent at ${silent}`)
      const start = performance.now()
      aborting.abort(reason)
      await failed
      const elapsedMs = performance.now() - start
      assert.ok(elapsedMs < kSoonMs, `it took ${elapsedMs} ms`)
      // A connection that nobody reads from does not learn of its end.
      for (const request of unread) request.resume()
      await until(() => waiting.size === 0, 'nobody waits for an answer', kSoonMs)
    })
  }
})
