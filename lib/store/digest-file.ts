// SPDX-License-Identifier: MIT
import { readFile, stat } from 'node:fs/promises'
import { WherryError } from '../errors.ts'
import { runSingleUse } from '../layer/single-use-worker.ts'
import { type Digest, type DigestAlgorithm, digestOf, parseDigest } from '../oci/digest.ts'

/** A file up to this size is hashed at once: that takes less time than to start a thread. */
const kSmallBytes = 256 * 1024

/**
 * Hashes a file; a large one in a thread of its own, since a blob takes as long as hundreds of turns of the event loop.
 *
 * @throws `signal.reason` on abort.
 */
export async function digestFile(path: string, algorithm: DigestAlgorithm, signal?: AbortSignal): Promise<Digest> {
  signal?.throwIfAborted()
  if ((await stat(path)).size <= kSmallBytes) return digestOf(await readFile(path), algorithm)
  const script = new URL('./digest-worker.js', import.meta.url)
  const options = { name: 'wherry-digest', workerData: { path, algorithm } }
  const { message: hex, failure } = await runSingleUse<string>(script, options, signal)
  if (hex !== undefined) return parseDigest(`${algorithm}:${hex}`)
  throw failure ?? new WherryError('The thread that hashed a blob ended unexpectedly.', { code: 'ERR_WORKER' })
}
