// SPDX-License-Identifier: MIT
// Entry of a child process: reads the job in its first argument, writes the answer to the job's result file.
import { writeFile } from 'node:fs/promises'
import { measureEndurance } from './endurance.ts'
import { measureEventLoop } from './event-loop.ts'
import type { Job, JobResult } from './job.ts'
import { measureLatency } from './latency.ts'
import { measureTransfer } from './transfer.ts'
import { measureUnpack } from './unpack.ts'

function measure(job: Job, signal: AbortSignal): Promise<JobResult> {
  switch (job.kind) {
    case 'latency':
      return measureLatency(job, signal)
    case 'endurance':
      return measureEndurance(job, signal)
    case 'event-loop':
      return measureEventLoop(job, signal)
    case 'unpack':
      return measureUnpack(job, signal)
    case 'transfer':
      return measureTransfer(job, signal)
  }
}

const job = JSON.parse(process.argv[2] ?? '') as Job
const stopping = new AbortController()
for (const killSignal of ['SIGINT', 'SIGTERM'] as const) process.once(killSignal, () => stopping.abort())
const result = await measure(job, stopping.signal)
await writeFile(job.resultFile, JSON.stringify(result))
