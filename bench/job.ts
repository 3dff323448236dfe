// SPDX-License-Identifier: MIT
import type { Sample } from './statistics.ts'

/** How a P1 job is done. */
export interface LatencySettings {
  rounds: number
  warmupRounds: number
  pauseMs: number
  sequentialRuns: number
  concurrentRuns: number
  concurrency: number
  /** A subject slower than this takes part in every `slowEvery`th round only. */
  slowMs: number
  slowEvery: number
  seed: number
}

interface JobBase {
  packageRoot: string
  directory: string
  resultFile: string
}

/** What a child process is asked to measure. */
export type Job =
  | (JobBase & { kind: 'latency'; subjects: string[]; residentBytes: number; settings: LatencySettings })
  | (JobBase & { kind: 'endurance'; subject: string; runs: number })
  | (JobBase & { kind: 'event-loop'; subject: string; runs: number; idleMs: number })
  | (JobBase & { kind: 'unpack'; rounds: number })
  | (JobBase & { kind: 'transfer'; rounds: number })

/** Runs without a pause: `wallMs` covers all of them, so that work put off until after a run still counts. */
export interface BlockResult {
  concurrency: number
  samples: number[]
  wallMs: number
  perSecond: number
  /** Busy time of the whole machine per run. */
  machineBusyMsPerRun: number
}

/** A subject's part in a P1 job: skipped, failed, or measured. */
export interface LatencySubjectResult {
  name: string
  skipped?: string
  failed?: string
  interleaved: Sample[]
  sequential?: BlockResult
  concurrent?: BlockResult
}

/** The answer to a `latency` job. */
export interface LatencyResult {
  kind: 'latency'
  residentTargetBytes: number
  residentBytes: number
  hugePageBytes: number
  cgroups: string
  /** System calls named by the seccomp profile that crun and runc are given; 0 when they run without a filter. */
  peerSeccompEntries: number
  subjects: LatencySubjectResult[]
}

/** What may be left behind on a host, counted. */
export interface LeftoverCounts {
  residentBytes: number
  helperResidentBytes: number
  descendants: number
  fds: number
  helperFds: number
  mounts: number
  cgroups: number
  directories: number
  namespaces: number
}

/** The answer to an `endurance` job; `closed` is what is left after the subject was disposed of. */
export interface EnduranceResult {
  kind: 'endurance'
  subject: string
  skipped?: string
  failed?: string
  durations: number[]
  before?: LeftoverCounts
  after?: LeftoverCounts
  closed?: LeftoverCounts
  newNames?: string[]
}

/** Delays of the event loop, in milliseconds; the sampling interval of 1 ms is part of each. */
export interface LoopDelay {
  p50: number
  p99: number
  max: number
}

/** The answer to an `event-loop` job. */
export interface EventLoopResult {
  kind: 'event-loop'
  subject: string
  skipped?: string
  failed?: string
  runs: number
  idle?: LoopDelay
  busy?: LoopDelay
}

/** The same archives by GNU tar and by the library, in turn. With `durable` both end when all is on the disk. */
export interface UnpackRow {
  place: string
  work: string
  durable: boolean
  tar: Sample[]
  wherry: Sample[]
}

/** The answer to an `unpack` job. */
export interface UnpackResult {
  kind: 'unpack'
  subject: string
  skipped?: string
  failed?: string
  rows: UnpackRow[]
}

/** One image pulled or pushed by every subject, in turn. */
export interface TransferRow {
  work: 'pull' | 'push'
  image: string
  samples: Record<string, Sample[]>
  /** Of this process, in each of our trials. */
  loops: LoopDelay[]
}

/** The answer to a `transfer` job. */
export interface TransferResult {
  kind: 'transfer'
  subject: string
  skipped?: string
  failed?: string
  idle?: LoopDelay
  rows: TransferRow[]
}

/** What a child process answers. */
export type JobResult = LatencyResult | EnduranceResult | EventLoopResult | UnpackResult | TransferResult
