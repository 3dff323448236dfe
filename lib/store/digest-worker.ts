// SPDX-License-Identifier: MIT
// Hashes one file, away from the event loop.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'

const kReadBytes = 256 * 1024

const { path, algorithm } = workerData as { path: string; algorithm: string }
const hash = createHash(algorithm)
const chunk = Buffer.allocUnsafeSlow(kReadBytes)
const fd = fs.openSync(path, 'r')
try {
  for (let bytes = fs.readSync(fd, chunk); bytes > 0; bytes = fs.readSync(fd, chunk)) {
    hash.update(chunk.subarray(0, bytes))
  }
} finally {
  fs.closeSync(fd)
}
parentPort?.postMessage(hash.digest('hex'))
