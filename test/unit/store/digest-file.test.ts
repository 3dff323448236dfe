// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { digestFile } from '../../../lib/store/digest-file.ts'

let dir = ''
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'wherry-digest-'))
})
after(() => rm(dir, { recursive: true, force: true }))

test('small and large files have the digests that node:crypto gives', async () => {
  for (const size of [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000]) {
    const bytes = randomBytes(size)
    const path = join(dir, `file-${size}`)
    await writeFile(path, bytes)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const expected = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
      assert.equal(await digestFile(path, algorithm), expected, `${size} bytes, ${algorithm}`)
    }
  }
})

test("an absent file is Node's error, an abort the reason of the signal", async () => {
  await assert.rejects(digestFile(join(dir, 'absent'), 'sha256'), { code: 'ENOENT' })
  const path = join(dir, 'long')
  await writeFile(path, Buffer.alloc(64 * 1024 * 1024))
  const reason = new Error('enough')
  const controller = new AbortController()
  const hashing = digestFile(path, 'sha256', controller.signal)
  setImmediate(() => controller.abort(reason))
  await assert.rejects(hashing, reason)
})

test('a large file is hashed beside the event loop', async () => {
  const path = join(dir, 'large')
  await writeFile(path, Buffer.alloc(128 * 1024 * 1024))
  const started = performance.eventLoopUtilization()
  await digestFile(path, 'sha256')
  const { utilization } = performance.eventLoopUtilization(started)
  assert.ok(utilization < 0.5, `the event loop was busy for ${Math.round(utilization * 100)} % of the time`)
})
