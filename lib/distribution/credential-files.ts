import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { env, getuid } from 'node:process'
import * as v from 'valibot'
import { WherryError } from '../errors.ts'
import type { RegistryAuth } from './credentials.ts'
import { credentialServer, isDockerHub } from './hosts.ts'
import type { Environment } from './proxy.ts'

const kMaxFileBytes = 4 * 1024 * 1024

const authEntrySchema = v.looseObject({
  auth: v.optional(v.string()),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
  identitytoken: v.optional(v.string()),
  registrytoken: v.optional(v.string()),
})

const fileSchema = v.looseObject({
  auths: v.optional(v.record(v.string(), v.nullable(authEntrySchema))),
  credHelpers: v.optional(v.record(v.string(), v.string())),
  credsStore: v.optional(v.string()),
})

/** A file of credentials in Docker's format, which podman shares. Fields that are not ours are kept. */
export type CredentialFile = v.InferOutput<typeof fileSchema>

/** Docker's own file. */
export function dockerConfigPath(environment: Environment = env): string {
  const dir = environment.DOCKER_CONFIG
  return join(dir === undefined || dir === '' ? join(environment.HOME ?? homedir(), '.docker') : dir, 'config.json')
}

/** The files of podman and its relatives, in the order they are asked. */
export function podmanAuthPaths(environment: Environment = env): string[] {
  const explicit = environment.REGISTRY_AUTH_FILE
  if (explicit !== undefined && explicit !== '') return [explicit]
  const home = environment.HOME ?? homedir()
  const runtime = environment.XDG_RUNTIME_DIR
  const runtimePath =
    runtime === undefined || runtime === ''
      ? `/run/containers/${getuid?.() ?? 0}/auth.json`
      : join(runtime, 'containers/auth.json')
  return [runtimePath, join(environment.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json')]
}

/**
 * Reads a file of credentials.
 *
 * @returns `undefined` where there is none.
 * @throws {WherryError} `ERR_CREDENTIALS` where it cannot be read or understood; its text does not enter the message.
 */
export async function readCredentialFile(path: string): Promise<CredentialFile | undefined> {
  let text: string
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stats = await file.stat()
      if (!stats.isFile() || stats.size > kMaxFileBytes) throw new Error('it is no regular file of at most 4 MiB')
      text = await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw fileError(path, cause)
  }
  if (text.trim() === '') return {}
  try {
    return v.parse(fileSchema, JSON.parse(text))
  } catch {
    throw fileError(path, undefined)
  }
}

function fileError(path: string, cause: unknown): WherryError {
  const why = cause instanceof Error ? cause.message : 'it is not JSON as docker login writes it'
  return new WherryError(`Cannot read the credentials in ${path}: ${why}.`, {
    code: 'ERR_CREDENTIALS',
    hint: `repair the file, or pass auth`,
    cause,
  })
}

/** What a file says of a registry: credentials, or the helper that has them. */
export type FileAnswer =
  | { readonly auth: RegistryAuth }
  | { readonly helper: string; readonly server: string }
  | undefined

/** Looks a registry up: helper for it, entry of the longest namespace, helper for all. */
export function lookUp(file: CredentialFile, registry: string, repository: string | undefined): FileAnswer {
  const server = credentialServer(registry)
  const keys = namespaceKeys(registry, repository)
  for (const key of [...keys, server]) {
    const helper = file.credHelpers?.[key]
    if (helper !== undefined && helper !== '') return { helper, server: key === registry ? server : key }
  }
  // With a store for all, entries are only marks that there is something in it.
  if (file.credsStore !== undefined && file.credsStore !== '') return { helper: file.credsStore, server }
  const entries = new Map<string, v.InferOutput<typeof authEntrySchema>>()
  for (const [key, entry] of Object.entries(file.auths ?? {})) {
    if (entry !== null && !entries.has(normalizeKey(key))) entries.set(normalizeKey(key), entry)
  }
  for (const key of keys) {
    const entry = entries.get(key)
    const auth = entry === undefined ? undefined : parseEntry(entry)
    if (auth !== undefined) return { auth }
  }
  return undefined
}

/** Keys from the most to the least special: `host/a/b`, `host/a`, `host`. */
function namespaceKeys(registry: string, repository: string | undefined): string[] {
  const name = isDockerHub(registry) ? 'docker.io' : registry
  const parts = repository === undefined || repository === '' ? [] : repository.split('/')
  const keys: string[] = []
  for (let count = parts.length; count >= 0; count--) keys.push([name, ...parts.slice(0, count)].join('/'))
  return keys
}

/** `https://host/v1/`, as old versions of Docker wrote, is the host. */
function normalizeKey(key: string): string {
  const plain = key.replace(/^https?:\/\//, '')
  const isUrl = plain !== key
  const name = isUrl || /\/v[12]\/?$/.test(plain) ? plain.replace(/\/.*$/, '') : plain.replace(/\/+$/, '')
  return isDockerHub(name) ? 'docker.io' : name
}

/** Whether a key of `auths` is for this registry as a whole. */
export function sameServer(key: string, registry: string): boolean {
  return normalizeKey(key) === normalizeKey(registry)
}

function parseEntry(entry: v.InferOutput<typeof authEntrySchema>): RegistryAuth | undefined {
  if (entry.identitytoken) return { identityToken: entry.identitytoken }
  if (entry.registrytoken) return { registryToken: entry.registrytoken }
  if (entry.auth) {
    const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = text.indexOf(':')
    if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1) }
  }
  if (entry.username && entry.password !== undefined) return { username: entry.username, password: entry.password }
  return undefined
}
