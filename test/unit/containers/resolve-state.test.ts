// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pid } from 'node:process'
import { type TestContext, test } from 'node:test'
import { readEnd } from '../../../lib/containers/resolve-state.ts'
import { processStatus } from '../../../lib/host/process-status.ts'
import { readBootId } from '../../../lib/store/container-state.ts'

/** No engine lives. */
const dead = (): Promise<boolean> => Promise.resolve(false)

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-end-'))
  t.after(() => rm(dir, { recursive: true }))
  return dir
}

async function self() {
  return {
    status: 'running',
    pid,
    startTimeTicks: (await processStatus(pid))?.startTimeTicks ?? -1,
    bootId: await readBootId(),
  }
}

test('a process that lives has not ended', async (t) => {
  assert.equal(await readEnd(await directory(t), await self(), dead), undefined)
})

test('another process with its number, or of another boot, is not it', async (t) => {
  const dir = await directory(t)
  const state = await self()
  for (const other of [
    { ...state, startTimeTicks: state.startTimeTicks - 1 },
    { ...state, bootId: 'other' },
    { ...state, pid: null },
  ]) {
    const { end, record } = (await readEnd(dir, other, dead)) ?? assert.fail()
    assert.deepEqual([end.exitCode, end.killSignal, record], [137, 'SIGKILL', undefined])
  }
})

test('the record says how it ended; that of an earlier run does not count', async (t) => {
  const dir = await directory(t)
  const state = await self()
  await writeFile(join(dir, 'exit'), `${pid} ${7 << 8} 10 20 4096 1 1700000000.500000000\n`)
  const { end, record } = (await readEnd(dir, state, dead)) ?? assert.fail()
  assert.deepEqual(
    [end.exitCode, end.killSignal, end.oomKilled, end.finishedAt],
    [7, null, true, '2023-11-14T22:13:20.500Z'],
  )
  assert.equal(record?.maxRssBytes, 4096)
  await writeFile(join(dir, 'exit'), `${pid} 15 10 20 4096 0 1700000000.500000000\n`)
  assert.deepEqual((await readEnd(dir, state, dead))?.end.exitCode, 143)
  await writeFile(join(dir, 'exit'), `${pid + 1} 0 10 20 4096 0 1700000000.500000000\n`)
  assert.equal(await readEnd(dir, state, dead), undefined)
  await writeFile(join(dir, 'exit'), 'garbage')
  assert.equal(await readEnd(dir, state, dead), undefined)
})

test('one that is to be started again is not at its end, as long as somebody looks after it', async (t) => {
  const dir = await directory(t)
  const restart = { policy: 'on-failure', maxRetries: 2, count: 1, delayMs: 100, dueMs: null, stoppedIn: null } as const
  const state = { ...(await self()), startedAt: '2023-11-14T22:13:19.000Z', restart, owner: null }
  await writeFile(join(dir, 'exit'), `${pid} ${7 << 8} 10 20 4096 0 1700000000.500000000\n`)
  const endOf = async (changes: object) => (await readEnd(dir, { ...state, ...changes }, dead))?.end ?? assert.fail()
  const { status, exitCode, restart: next } = await endOf({})
  assert.deepEqual([status, exitCode], ['restarting', 7])
  assert.deepEqual(next, { ...restart, count: 2, delayMs: 200, dueMs: 1_700_000_000_700 })
  assert.equal((await endOf({ owner: 'gone' })).status, 'exited')
  assert.equal((await endOf({ restart: { ...restart, count: 2 } })).status, 'exited')
})
