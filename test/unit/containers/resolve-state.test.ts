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
  assert.equal(await readEnd(await directory(t), await self()), undefined)
})

test('another process with its number, or of another boot, is not it', async (t) => {
  const dir = await directory(t)
  const state = await self()
  for (const other of [
    { ...state, startTimeTicks: state.startTimeTicks - 1 },
    { ...state, bootId: 'other' },
    { ...state, pid: null },
  ]) {
    const { end, record } = (await readEnd(dir, other)) ?? assert.fail()
    assert.deepEqual([end.exitCode, end.killSignal, record], [137, 'SIGKILL', undefined])
  }
})

test('the record says how it ended; that of an earlier run does not count', async (t) => {
  const dir = await directory(t)
  const state = await self()
  await writeFile(join(dir, 'exit'), `${pid} ${7 << 8} 10 20 4096 1 1700000000.500000000\n`)
  const { end, record } = (await readEnd(dir, state)) ?? assert.fail()
  assert.deepEqual(
    [end.exitCode, end.killSignal, end.oomKilled, end.finishedAt],
    [7, null, true, '2023-11-14T22:13:20.500Z'],
  )
  assert.equal(record?.maxRssBytes, 4096)
  await writeFile(join(dir, 'exit'), `${pid} 15 10 20 4096 0 1700000000.500000000\n`)
  assert.deepEqual((await readEnd(dir, state))?.end.exitCode, 143)
  await writeFile(join(dir, 'exit'), `${pid + 1} 0 10 20 4096 0 1700000000.500000000\n`)
  assert.equal(await readEnd(dir, state), undefined)
  await writeFile(join(dir, 'exit'), 'garbage')
  assert.equal(await readEnd(dir, state), undefined)
})
