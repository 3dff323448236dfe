import { randomUUID } from 'node:crypto'
import { fstat } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { isErrno, makeDirectories, writeFileAtomic } from '../store/atomic.ts'
import { statIfThere, unlinkIfThere } from '../store/files.ts'
import { acquireLock, type FileLock } from '../store/lock.ts'
import type { StoreNative } from '../store/native.ts'
import { dockerConfigPath, readCredentialFile, sameServer } from './credential-files.ts'
import { eraseWithHelper, storeWithHelper } from './credential-helper.ts'
import { credentialServer, isDockerHub } from './hosts.ts'

const fstatAsync = promisify(fstat)

/**
 * Keeps credentials for a registry, where `docker login` does: with the helper that config.json names for it, else in config.json
 * itself, which is written at once or not at all and keeps everything else that is in it, also what others of us write meanwhile.
 *
 * @param registry - as in references.
 * @throws {WherryError} `ERR_CREDENTIALS`
 */
export async function saveCredentials(
  native: StoreNative,
  registry: string,
  credentials: { readonly username: string; readonly password: string },
  signal?: AbortSignal,
): Promise<void> {
  const { username, password } = credentials
  const path = dockerConfigPath()
  const server = credentialServer(registry)
  const helper = helperFor((await readCredentialFile(path)) ?? {}, registry)
  if (helper !== undefined) await storeWithHelper(helper, server, { username, secret: password }, signal)
  const entry = helper === undefined ? { auth: Buffer.from(`${username}:${password}`).toString('base64') } : {}
  await changeConfig(native, path, signal, (auths) => {
    for (const key of Object.keys(auths)) if (sameServer(key, registry)) delete auths[key]
    auths[server] = entry
    return true
  })
}

/** Forgets the credentials of a registry. @returns whether there were any. */
export async function removeCredentials(native: StoreNative, registry: string, signal?: AbortSignal): Promise<boolean> {
  const path = dockerConfigPath()
  const file = await readCredentialFile(path)
  if (file === undefined) return false
  const helper = helperFor(file, registry)
  const erased = helper === undefined ? false : await eraseWithHelper(helper, credentialServer(registry), signal)
  let removed = false
  await changeConfig(native, path, signal, (auths) => {
    for (const key of Object.keys(auths)) {
      if (!sameServer(key, registry)) continue
      delete auths[key]
      removed = true
    }
    return removed
  })
  return erased || removed
}

function helperFor(
  file: { credHelpers?: Record<string, string> | undefined; credsStore?: string | undefined },
  registry: string,
): string | undefined {
  const own = file.credHelpers?.[registry] ?? file.credHelpers?.[credentialServer(registry)]
  return own || (isDockerHub(registry) ? file.credHelpers?.['docker.io'] : undefined) || file.credsStore || undefined
}

/** Changes the entries of a config.json, one change after the other among all processes that do so by this. */
async function changeConfig(
  native: StoreNative,
  path: string,
  signal: AbortSignal | undefined,
  change: (auths: Record<string, unknown>) => boolean,
): Promise<void> {
  await makeDirectories(dirname(path), 0o700)
  // The file may be a link into somebody's collection of settings, which is to stay one.
  const target = await realpath(path).catch((error) => {
    if (isErrno(error, 'ENOENT')) return path
    throw error
  })
  const lockPath = `${target}.lock`
  const lock = await acquireCurrentLock(native, lockPath, signal)
  try {
    const config = (await readCredentialFile(target)) ?? {}
    const entries: Record<string, unknown> = { ...config.auths }
    if (!change(entries)) return
    const text = `${JSON.stringify({ ...config, auths: entries }, undefined, '\t')}\n`
    // Whoever may read it so far may go on; a new one is for its owner alone.
    const mode = (await stat(target).catch(() => undefined))?.mode ?? 0o600
    await writeFileAtomic(`${target}.${randomUUID()}.tmp`, target, text, mode & 0o777)
  } finally {
    // While it is held: nothing of ours stays in somebody's folder, and who waits finds out.
    await unlinkIfThere(lockPath)
    await lock.release()
  }
}

/** Takes a lock whose file is removed by its holder: one on a file that is at its path no more keeps nobody out. */
async function acquireCurrentLock(
  native: StoreNative,
  path: string,
  signal: AbortSignal | undefined,
): Promise<FileLock> {
  for (;;) {
    const lock = await acquireLock(native, path, { signal })
    const [there, ours] = await Promise.all([statIfThere(path), fstatAsync(lock.fd)])
    if (there?.ino === ours.ino && there.dev === ours.dev) return lock
    await lock.release()
  }
}
