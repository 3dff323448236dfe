// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { TestContext } from 'node:test'
import { digestOf } from '../../lib/oci/digest.ts'
import { kMediaType } from '../../lib/oci/image-config.ts'
import type { RegistryServerOptions } from '../../lib/registry-server/options.ts'
import { type RegistryServer, serveRegistry } from '../../lib/registry-server/registry-server.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** A registry that is closed after the test; a failure of its own fails the test. */
export async function startRegistry(t: TestContext, options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const failures: unknown[] = []
  const server = await serveRegistry({ onError: (error) => failures.push(error), ...options })
  t.after(async () => {
    await server.close({ graceMs: 0 })
    assert.deepEqual(failures, [])
  })
  return server
}

/** Sends one request on a connection of its own. */
export function send(
  server: RegistryServer,
  method: string,
  target: string,
  options: { headers?: Record<string, string | number>; body?: Buffer | string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { headers = {}, body } = options
    const call = httpRequest(
      { host: '127.0.0.1', port: server.port, method, path: target, headers, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        )
      },
    )
    call.on('error', reject)
    call.end(body)
  })
}

/** Checks an error answer: status, code, and the shape of the body. */
export function assertError(answer: Answer, status: number, code: string): void {
  const text = answer.body.toString()
  assert.equal(answer.status, status, text)
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] }
  assert.equal(errors[0]?.code, code, text)
  assert.equal(typeof errors[0]?.message, 'string')
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/)
}

/** Pushes a blob in one request. @returns its digest. */
export async function pushBlob(server: RegistryServer, repository: string, bytes: Buffer | string): Promise<string> {
  const digest = digestOf(bytes)
  const answer = await send(server, 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    body: Buffer.from(bytes),
    headers: { 'Content-Length': Buffer.byteLength(bytes) },
  })
  assert.equal(answer.status, 201, answer.body.toString())
  return digest
}

/** An image manifest of these blobs. */
export function makeManifest(config: string, layers: string[], more: Record<string, unknown> = {}): string {
  const describe = (text: string, mediaType: string) => ({ mediaType, digest: digestOf(text), size: text.length })
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: kMediaType.manifest,
    config: describe(config, kMediaType.config),
    layers: layers.map((layer) => describe(layer, kMediaType.layerGzip)),
    ...more,
  })
}

export function pushManifest(
  server: RegistryServer,
  repository: string,
  reference: string,
  manifest: string,
  mediaType: string = kMediaType.manifest,
): Promise<Answer> {
  const headers = { 'Content-Type': mediaType, 'Content-Length': Buffer.byteLength(manifest) }
  return send(server, 'PUT', `/v2/${repository}/manifests/${reference}`, { body: manifest, headers })
}
