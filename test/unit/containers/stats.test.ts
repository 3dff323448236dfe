// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { processList } from '../../../lib/containers/process-list.ts'
import { parseHostCpu, parseNetworkUse, type StatsSample, statsOf } from '../../../lib/containers/stats.ts'
import { parseProcess } from '../../../lib/host/process-table.ts'

function sample(changes: Partial<StatsSample['usage']> = {}, systemMicros = 0): StatsSample {
  return {
    atMs: 0,
    usage: {
      cpuMicros: 0,
      memoryBytes: 5000,
      inactiveFileBytes: 2000,
      memoryLimitBytes: 6000,
      pids: 3,
      pidsLimit: null,
      readBytes: 15,
      writtenBytes: 21,
      ...changes,
    },
    host: { systemMicros, onlineCpus: 4 },
    hostMemoryBytes: 100_000,
    network: { receivedBytes: 1, sentBytes: 2 },
  }
}

test('percentages are those of docker stats', () => {
  // Half of one of four processors, which have counted 400 between them.
  const { cpu, memory, readAt } = statsOf(sample({}, 1000), sample({ cpuMicros: 50 }, 1400))
  assert.deepEqual(cpu, { usageMicros: 50, percent: 50, onlineCpus: 4 })
  assert.deepEqual(memory, { usageBytes: 3000, limitBytes: 6000, percent: 50 })
  assert.equal(readAt, '1970-01-01T00:00:00.000Z')
})

test('what is not known is null, and no percentage is made up', () => {
  assert.equal(statsOf(undefined, sample()).cpu.percent, null)
  assert.equal(statsOf(sample(), sample({ cpuMicros: null }, 5)).cpu.percent, null)
  // Started again between the two: its counter begins anew.
  assert.equal(statsOf(sample({ cpuMicros: 9 }), sample({ cpuMicros: 1 }, 5)).cpu.percent, 0)
  assert.equal(statsOf(sample(), sample({ cpuMicros: 1 })).cpu.percent, 0)
  assert.deepEqual(statsOf(undefined, sample({ memoryBytes: null })).memory, {
    usageBytes: null,
    limitBytes: 6000,
    percent: null,
  })
  // Without a limit of its own, that of the host holds; and all that is left when the counters disagree.
  const { memory } = statsOf(undefined, sample({ memoryLimitBytes: null, inactiveFileBytes: 9000 }))
  assert.deepEqual([memory.limitBytes, memory.usageBytes], [100_000, 5000])
})

test('reads /proc/stat and /proc/PID/net/dev', () => {
  const stat = 'cpu  1 2 3 4 5 6 7 100 100 0\ncpu0 1 0 0 0\ncpu1 0 0 0 0\nintr 1\n'
  assert.deepEqual(parseHostCpu(stat), { systemMicros: 280_000, onlineCpus: 2 })
  const device =
    'Inter-|   Receive |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n' +
    '    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0:12 1 0 0 0 0 0 0 34 1 0 0 0 0 0 0\n  eth1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n'
  assert.deepEqual(parseNetworkUse(device), { receivedBytes: 13, sentBytes: 35 })
})

test('a list of processes has the columns of ps -ef', () => {
  const rest = (tty: number): string => `1 5 5 ${tty} 0 0 0 0 0 0 6000 1000 0 0 20 0 1 0 500 0 0`
  const status = 'Name:\tx\nUid:\t7\t8\t8\t8\n'
  const now = 1_000_000_000_000
  const sleep = parseProcess(9, {
    stat: `9 (a) b) S ${rest(0)}`,
    status,
    arguments: 'sleep\0a b\0',
    bootMs: now - 20_000,
  })
  assert.deepEqual(sleep, {
    pid: 9,
    parent: 1,
    uid: 8,
    cpuSeconds: 70,
    startedMs: now - 15_000,
    terminal: '?',
    command: 'sleep a b',
  })
  const old = parseProcess(4, { stat: `4 (a) b) S ${rest(34_817)}`, status, arguments: '', bootMs: now - 9e8 })
  const { titles, processes } = processList([sleep, old], new Map([[8, 'bee']]), now)
  assert.deepEqual(titles, ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'])
  assert.deepEqual(processes[0]?.toSpliced(4, 1), ['bee', '4', '1', '0', 'pts/1', '00:01:10', '[a) b]'])
  assert.match(processes[0]?.[4] ?? '', /^Aug\d\d$/)
  assert.match(processes[1]?.[4] ?? '', /^\d\d:\d\d$/)
  assert.equal(processes[1]?.[3], '99')
})
