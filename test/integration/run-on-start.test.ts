// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { RunningContainer } from '../../lib/index.ts'
import { needsContainers, processesWith, useFixture } from './rootfs.ts'

const fixture = useFixture()

function scripted(marker: string): string[] {
  return ['/bin/sh', '-c', `: ${marker}; trap 'echo asked; exit 7' USR1; echo ready; while :; do sleep 0.05; done`]
}

test('onStart gets the container, which takes signals', async (t) => {
  if (!needsContainers(t)) return
  const stdout = new PassThrough()
  let seen = ''
  let running: RunningContainer | undefined
  // Which of the two comes first is open.
  const killOnceReady = (): void => {
    if (seen === 'ready\n') running?.kill('USR1')
  }
  stdout.on('data', (chunk: Buffer) => {
    seen += String(chunk)
    killOnceReady()
  })
  const onStart = (container: RunningContainer): void => {
    running = container
    killOnceReady()
  }
  const result = await fixture.run(scripted('on-start-kill'), { onStart, stdout, reject: false })
  assert.equal(seen, 'ready\nasked\n')
  assert.equal(result.exitCode, 7)
  assert.equal(running?.id, result.id)
  assert.ok((running?.pid ?? 0) > 1)
  // It has ended, which is no error; a signal that does not exist is one.
  running?.kill('SIGTERM')
  assert.throws(() => running?.kill('SIGNONE'), { code: 'ERR_INVALID_OPTION' })
})

test('what onStart throws ends the container and rejects', async (t) => {
  if (!needsContainers(t)) return
  const failure = new Error('of the callback')
  const onStart = (): void => {
    throw failure
  }
  await assert.rejects(fixture.run(scripted('on-start-throw'), { onStart }), (error) => error === failure)
  assert.deepEqual(processesWith('on-start-throw'), [])
})

test('onStart is a function', async (t) => {
  if (!needsContainers(t)) return
  await assert.rejects(fixture.run(['true'], { onStart: 'x' as never }), /'onStart': expected a function/)
})
