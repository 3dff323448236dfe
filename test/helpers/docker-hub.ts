// SPDX-License-Identifier: MIT
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:https'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { makeCertificates } from './certificates.ts'
import { listen } from './listen.ts'

const NAMES = 'DNS:registry-1.docker.io,DNS:auth.docker.io,DNS:index.docker.io'

/** As much of Docker Hub as a client needs to be told from others, on loopback, with certificates for its names. */
export async function startDockerHub(
  t: TestContext,
  scratchDir: string,
): Promise<{ host: string; ca: string; requests: string[] }> {
  const dir = join(scratchDir, 'hub')
  await mkdir(dir)
  const { ca, key, cert } = await makeCertificates(dir, NAMES)
  const requests: string[] = []
  const server = createServer({ key, cert }, (request, response) => {
    const { host } = request.headers
    requests.push(`${host}${request.url} ${request.headers.authorization}`)
    if (host === 'auth.docker.io') response.end(JSON.stringify({ token: 'hub-token', expires_in: 300 }))
    else if (host === 'index.docker.io') response.end(JSON.stringify({ results: [{ name: 'alpine', star_count: 7 }] }))
    else if (request.headers.authorization === 'Bearer hub-token') response.end('{"schemaVersion":2,"manifests":[]}')
    else {
      const challenge =
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"'
      response.writeHead(401, { 'www-authenticate': challenge }).end()
    }
  })
  return { host: await listen(t, server), ca, requests }
}
