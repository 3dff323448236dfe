// SPDX-License-Identifier: MIT
import { parseArgs } from 'node:util'
import type { LatencySettings } from './job.ts'

/** The parts of the benchmark, named after the targets that they measure. */
export type Part = 'P1' | 'P2' | 'P3-unpack' | 'P3-transfer' | 'P4' | 'P5' | 'P6' | 'P7'

/** What the command line asks for. */
export interface BenchOptions {
  short: boolean
  parts: readonly Part[]
  subjects: readonly string[]
  residentMegabytes: readonly number[]
  /** Subjects measured at the first of these sizes only. */
  firstSizeOnly: readonly string[]
  latency: LatencySettings
  enduranceRuns: number
  eventLoopRuns: number
  throughput: { runs: number; concurrency: number }
  idleContainers: number
  p3Rounds: number
  /** Leave a host with both cgroup versions as it is, instead of hiding v2 from the measuring process. */
  asIs: boolean
  outDirectory: string | undefined
}

/** Text for `--help`. */
export const kUsage = `npm run bench -- [options]
  --short               a few minutes less: fewer rounds and runs
  --only P1,P2,P3-unpack,P3-transfer,P4,P5,P6,P7
                        parts to measure (default: all)
  --trials N            interleaved rounds of P1 and P2
  --p3-rounds N         rounds of P3
  --runs N              runs one after the other in P5
  --subjects a,b        wherry, spawn, bwrap, crun, runc, podman, dockerd (default: all)
  --resident 54,550     sizes of the embedding process, in MB
  --pause-ms N          pause between interleaved trials (default: 20)
  --seed N              order of trials (default: from the clock; it is in the JSON)
  --as-is               do not hide the v2 hierarchy of a hybrid cgroup host (crun and dockerd refuse such a host)
  --out DIR             where the JSON and SVG go (default: bench/results)`

const kParts: readonly Part[] = ['P1', 'P2', 'P3-unpack', 'P3-transfer', 'P4', 'P5', 'P6', 'P7']

/**
 * Reads the command line.
 * @param subjects — names that `--subjects` may choose from
 * @returns 'help' when usage is asked for
 * @throws {TypeError} for an unknown option or a malformed value
 */
export function parseBenchOptions(args: readonly string[], subjects: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({ args: [...args], options: kOptions })
  if (values.help) return 'help'
  const defaults = values.short ? kShort : kFull
  const { latency } = defaults
  return {
    short: values.short,
    parts: chooseFrom('only', values.only, kParts),
    subjects: chooseFrom('subjects', values.subjects, subjects),
    residentMegabytes: (values.resident ?? '54,550').split(',').map((part) => whole('resident', part, 1)),
    firstSizeOnly: defaults.firstSizeOnly,
    latency: {
      ...kLatency,
      ...latency,
      rounds: whole('trials', values.trials ?? latency.rounds, 1),
      pauseMs: whole('pause-ms', values['pause-ms'] ?? 20, 0),
      seed: whole('seed', values.seed ?? Date.now() % 2 ** 31, 0),
    },
    enduranceRuns: whole('runs', values.runs ?? defaults.enduranceRuns, 10),
    eventLoopRuns: 200,
    throughput: { runs: defaults.throughputRuns, concurrency: 50 },
    idleContainers: 50,
    p3Rounds: whole('p3-rounds', values['p3-rounds'] ?? defaults.p3Rounds, 1),
    asIs: values['as-is'],
    outDirectory: values.out,
  }
}

const kText = { type: 'string' } as const
const kFlag = { type: 'boolean', default: false } as const
const kOptions = {
  help: kFlag,
  short: kFlag,
  'as-is': kFlag,
  only: kText,
  trials: kText,
  runs: kText,
  'p3-rounds': kText,
  subjects: kText,
  resident: kText,
  'pause-ms': kText,
  seed: kText,
  out: kText,
}

const kLatency = { warmupRounds: 3, concurrency: 8, slowMs: 150 }
const kFull = {
  firstSizeOnly: [],
  latency: { rounds: 200, sequentialRuns: 200, concurrentRuns: 200, slowEvery: 10 },
  enduranceRuns: 2_000,
  throughputRuns: 500,
  p3Rounds: 8,
}
const kShort = {
  // Targets for the large one are for spawn alone, and these take a minute.
  firstSizeOnly: ['bwrap', 'runc', 'podman', 'dockerd'],
  latency: { rounds: 20, sequentialRuns: 40, concurrentRuns: 40, slowEvery: 10 },
  enduranceRuns: 300,
  throughputRuns: 150,
  p3Rounds: 1,
}

function chooseFrom<T extends string>(option: string, text: string | undefined, known: readonly T[]): readonly T[] {
  if (text === undefined) return known
  const wanted = text.split(',').map((part) => part.trim())
  const unknown = wanted.find((part) => !known.some((name) => name === part))
  if (unknown !== undefined) throw new TypeError(`--${option} knows ${known.join(', ')}, not ${unknown}`)
  return known.filter((name) => wanted.includes(name))
}

function whole(option: string, text: string | number, least: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least) {
    throw new TypeError(`--${option} takes a whole number from ${least}, not ${text}`)
  }
  return value
}
