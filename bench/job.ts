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

/** What subjects do: start a container, or run a program in one that is there. */
export type Work = 'run' | 'exec'

interface JobBase {
  packageRoot: string
  /** For the job alone; to be made. */
  directory: string
  /** For what several jobs use; it is there. */
  sharedDirectory: string
  resultFile: string
}

/** What a child process is asked to measure. */
export type Job =
  | (JobBase & {
      kind: 'latency'
      work: Work
      subjects: string[]
      /** Subjects that this job leaves out, with the reason. */
      leftOut: Record<string, string>
      residentBytes: number
      settings: LatencySettings
    })
  | (JobBase & { kind: 'endurance'; subject: string; runs: number })
  | (JobBase & { kind: 'event-loop'; work: Work; subject: string; runs: number; idleMs: number })
  | (JobBase & { kind: 'throughput'; subjects: string[]; runs: number; concurrency: number; seed: number })
  | (JobBase & { kind: 'idle-memory'; subjects: string[]; containers: number })
  | (JobBase & { kind: 'unpack'; rounds: number; seed: number })
  | (JobBase & { kind: 'transfer'; rounds: number; seed: number })

/** Why there are no figures: this host cannot have them, or a trial failed. */
export interface Absence {
  skipped?: string
  failed?: string
}

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
export interface LatencySubjectResult extends Absence {
  name: string
  interleaved: Sample[]
  sequential?: BlockResult
  concurrent?: BlockResult
}

/** The answer to a `latency` job. */
export interface LatencyResult {
  kind: 'latency'
  work: Work
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
export interface EnduranceResult extends Absence {
  kind: 'endurance'
  subject: string
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
export interface EventLoopResult extends Absence {
  kind: 'event-loop'
  work: Work
  subject: string
  runs: number
  idle?: LoopDelay
  busy?: LoopDelay
}

/** A subject's part in a throughput job. `before` and `after` are there for those that run in this process. */
export interface ThroughputSubjectResult extends Absence {
  name: string
  block?: BlockResult
  loop?: LoopDelay
  before?: LeftoverCounts
  after?: LeftoverCounts
}

/** The answer to a `throughput` job. */
export interface ThroughputResult {
  kind: 'throughput'
  idle?: LoopDelay
  subjects: ThroughputSubjectResult[]
}

/** What an engine needs in memory for containers that do nothing, their own processes left out. */
export interface IdleMemoryRow extends Absence {
  name: string
  containers: number
  /** Proportional set size per container; `undefined` where it was not measured. */
  bytesPerContainer?: number
}

/** The answer to an `idle-memory` job. */
export interface IdleMemoryResult {
  kind: 'idle-memory'
  rows: IdleMemoryRow[]
}

/** A subject's part in a contest. One that is skipped or has failed has no samples. */
export interface ContenderResult extends Absence {
  name: string
  samples: Sample[]
  /** Event loop of this process, in each of the trials that count. */
  loops: LoopDelay[]
}

/** The same layers unpacked by every subject. */
export interface UnpackRow extends Absence {
  layers: string
  place: string
  contenders: ContenderResult[]
}

/** The answer to an `unpack` job. */
export interface UnpackResult extends Absence {
  kind: 'unpack'
  subject: string
  rows: UnpackRow[]
}

/** The same image pulled or pushed by every subject. */
export interface TransferRow {
  work: 'pull' | 'push'
  image: string
  /** Whether there was room to keep what trials made until the row was over: removing it slows down the next trial. */
  kept: boolean
  contenders: ContenderResult[]
}

/** The answer to a `transfer` job. */
export interface TransferResult extends Absence {
  kind: 'transfer'
  subject: string
  idle?: LoopDelay
  rows: TransferRow[]
}

/** What a child process answers. */
export type JobResult =
  | LatencyResult
  | ThroughputResult
  | IdleMemoryResult
  | EnduranceResult
  | EventLoopResult
  | UnpackResult
  | TransferResult
