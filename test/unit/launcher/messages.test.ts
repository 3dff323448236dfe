// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  cleanupRequest,
  cloneRequest,
  parseExitEvent,
  parseStatus,
  removeRequest,
} from '../../../lib/launcher/messages.ts'

/** StatusMessage of native/protocol.h. */
function status(fields: {
  kind: number
  value?: number
  section?: number
  step?: number
  error?: number
  call?: string
}) {
  const bytes = Buffer.alloc(64)
  bytes.writeUInt32LE(fields.kind, 0)
  bytes.writeInt32LE(fields.value ?? 0, 4)
  bytes.writeUInt32LE(fields.section ?? 0, 8)
  bytes.writeUInt32LE(fields.step ?? 0, 12)
  bytes.writeInt32LE(fields.error ?? 0, 16)
  bytes.write(fields.call ?? '', 20, 'latin1')
  return bytes
}

function exitEvent(pid: number, waitStatus: number): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeInt32LE(pid, 0)
  bytes.writeInt32LE(waitStatus, 4)
  bytes.writeBigUInt64LE(1_500_000n, 8)
  bytes.writeBigUInt64LE(2n, 16)
  bytes.writeBigUInt64LE(3n * 1024n ** 3n, 24)
  return bytes
}

test('what a child says', () => {
  assert.deepEqual(parseStatus(status({ kind: 1, value: 4242 })), { kind: 'pid', pid: 4242 })
  assert.deepEqual(parseStatus(status({ kind: 2 })), { kind: 'await' })
  assert.deepEqual(parseStatus(status({ kind: 4 })), { kind: 'pty' })
  assert.deepEqual(parseStatus(status({ kind: 3, section: 1, step: 7, error: 13, call: 'mount' })), {
    kind: 'failed',
    failure: { section: 1, step: 7, errno: 13, call: 'mount' },
  })
})

test("a call's name may fill its field", () => {
  const message = parseStatus(status({ kind: 3, call: 'x'.repeat(44) }))
  assert.equal(message.kind === 'failed' && message.failure.call.length, 44)
})

test('how a process ended: by itself, by a signal, by a signal with a core', () => {
  const usage = { userMicros: 1_500_000, systemMicros: 2, maxRssBytes: 3 * 1024 ** 3 }
  assert.deepEqual(parseExitEvent(exitEvent(7, 3 << 8)), { pid: 7, exitCode: 3, signal: null, ...usage })
  assert.deepEqual(parseExitEvent(exitEvent(7, 9)), { pid: 7, exitCode: null, signal: 9, ...usage })
  assert.deepEqual(parseExitEvent(exitEvent(7, 11 | 0x80)), { pid: 7, exitCode: null, signal: 11, ...usage })
})

test('requests carry their kind, a flag for a plan elsewhere, and what they are about', () => {
  const plan = new Uint8Array([9, 8, 7])
  assert.deepEqual([...cloneRequest(plan, false)], [1, 0, 0, 0, 0, 0, 0, 0, 9, 8, 7])
  assert.deepEqual([...cloneRequest(plan, true)], [1, 0, 0, 0, 1, 0, 0, 0])
  assert.equal(Buffer.from(cleanupRequest(['d/a', 'c/ü'])).toString('utf8', 8), 'd/a\0c/ü\0')
  assert.equal(cleanupRequest([])[0], 2)
  assert.equal(removeRequest(['d/a'])[0], 3)
})
