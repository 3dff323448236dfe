// SPDX-License-Identifier: MIT
// Entry of a child process: reads the job in its first argument, writes the answer to the job's result file.
import { writeFile } from 'node:fs/promises'
import type { Job, JobResult } from './job.ts'

/** Loads what the job needs and no more: the size of this process is part of what is measured. */
async function measure(job: Job, signal: AbortSignal): Promise<JobResult> {
  switch (job.kind) {
    case 'latency':
      return (await import('./latency.ts')).measureLatency(job, signal)
    case 'throughput':
      return (await import('./throughput.ts')).measureThroughput(job, signal)
    case 'idle-memory':
      return (await import('./idle-memory.ts')).measureIdleMemory(job, signal)
    case 'endurance':
      return (await import('./endurance.ts')).measureEndurance(job, signal)
    case 'event-loop':
      return (await import('./event-loop.ts')).measureEventLoop(job, signal)
    case 'unpack':
      return (await import('./unpack.ts')).measureUnpack(job, signal)
    case 'transfer':
      return (await import('./transfer.ts')).measureTransfer(job, signal)
  }
}

const job = JSON.parse(process.argv[2] ?? '') as Job
const stopping = new AbortController()
for (const killSignal of ['SIGINT', 'SIGTERM'] as const) process.once(killSignal, () => stopping.abort())
const result = await measure(job, stopping.signal)
await writeFile(job.resultFile, JSON.stringify(result))
