// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { PassThrough, Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { test } from 'node:test'
import { pipeWhileRead } from '../../../lib/async/pipe-while-read.ts'

const kChunk = Buffer.alloc(64 * 1024)
const kChunks = 20

function chunks(): Readable {
  return Readable.from(Array.from({ length: kChunks }, () => kChunk))
}

test('a target that is closed while it is waited for lets the source come to its end', async () => {
  for (const error of [undefined, new Error('gone')]) {
    const target = new Writable({
      // Never done: 'drain' never comes.
      write: () => setImmediate(() => target.destroy(error)),
    })
    target.on('error', () => undefined)
    const source = chunks()
    const letGo = pipeWhileRead(source, target)
    await finished(source)
    letGo()
    assert.equal(target.listenerCount('unpipe'), 0)
  }
})

test('a target that takes no more from the start is not waited for', async () => {
  for (const target of [new PassThrough().destroy(), new PassThrough().end()]) {
    const source = chunks()
    pipeWhileRead(source, target)
    await finished(source)
  }
})

test('a target that lives gets everything, and stays open', async () => {
  let bytes = 0
  const target = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length
      setImmediate(done)
    },
  })
  const source = chunks()
  const letGo = pipeWhileRead(source, target)
  await finished(source)
  letGo()
  target.end()
  await finished(target)
  assert.equal(bytes, kChunks * kChunk.length)
})
