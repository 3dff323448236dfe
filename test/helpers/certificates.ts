// SPDX-License-Identifier: MIT
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)

/** A server's certificate by a private authority, in PEM. */
export interface Certificates {
  /** Of the authority. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly certPath: string
  readonly keyPath: string
  /** A directory with the authority's certificate, as skopeo and podman want it for `--cert-dir`. */
  readonly caDir: string
}

/** Makes a private authority and a certificate of it. Needs `command:openssl`. */
export async function makeCertificates(dir: string, names = 'DNS:localhost,IP:127.0.0.1'): Promise<Certificates> {
  const ca = await makeSelfSigned(dir, 'ca')
  const [keyPath, certPath, request, extension] = ['server.key', 'server.pem', 'server.csr', 'names'].map((name) =>
    join(dir, name),
  ) as [string, string, string, string]
  await writeFile(extension, `subjectAltName=${names}\n`)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyPath]
  await openssl('req', ...newKey, '-subj', '/CN=registry', '-out', request)
  const authority = ['-CA', ca.certPath, '-CAkey', ca.keyPath, '-CAcreateserial', '-days', '2']
  await openssl('x509', '-req', '-in', request, ...authority, '-extfile', extension, '-out', certPath)
  const caDir = join(dir, 'authorities')
  await mkdir(caDir)
  await copyFile(ca.certPath, join(caDir, 'ca.crt'))
  const read = (path: string): Promise<string> => readFile(path, 'utf8')
  return { ca: await read(ca.certPath), cert: await read(certPath), key: await read(keyPath), certPath, keyPath, caDir }
}

/** Makes `NAME.key` and a certificate that it has signed itself, `NAME.pem`. */
export async function makeSelfSigned(dir: string, name: string): Promise<{ keyPath: string; certPath: string }> {
  const [keyPath, certPath] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)]
  const newKey = ['-newkey', 'rsa:2048', '-nodes', '-keyout', keyPath]
  await openssl('req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=wherry test ${name}`, '-out', certPath)
  return { keyPath, certPath }
}

async function openssl(...args: string[]): Promise<void> {
  await execFileAsync('openssl', args)
}
