// SPDX-License-Identifier: MIT
// The same work by several subjects in turn: what P3 is measured with.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { findExecutable, requireSuccess } from './command.ts'
import { watchLoop } from './event-loop.ts'
import type { ContenderResult } from './job.ts'
import { type Random, shuffled } from './random.ts'
import { SkipError } from './subject.ts'
import { describeError } from './subject-pool.ts'

/** Where one trial is done, and what has to be done after it. */
export class Trial {
  /** Empty, and this trial's own. */
  readonly directory: string
  readonly #afterwards: (() => Promise<unknown>)[] = []

  constructor(directory: string) {
    this.directory = directory
  }

  /** Has `work` done when the trial is over, whether it succeeds or fails; the last first. It is not timed. */
  defer(work: () => Promise<unknown>): void {
    this.#afterwards.push(work)
  }

  /** Does all that was deferred, and rejects with the first failure. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (const work of this.#afterwards.splice(0).reverse()) {
      await work().catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** One way to do the work. */
export interface Contender {
  readonly name: string
  /** Whether it is this library: its failure is a failure of the benchmark, that of a peer is told. */
  readonly ours?: boolean
  /** Programs that it cannot do without. */
  readonly needs?: readonly string[]
  /**
   * Makes what may be there beforehand.
   * @returns the work that is timed
   * @throws {SkipError} when this host cannot have the subject
   */
  prepare(trial: Trial): Promise<() => Promise<unknown>>
}

/** How a contest is held. */
export interface ContestOptions {
  /** Existing directory below which trials get theirs. */
  directory: string
  /** Rounds that count. One comes before them, since it finds caches cold for some and warm for others. */
  rounds: number
  random: Random
  signal: AbortSignal
  /** Whether what trials made stays until the contest is over. @default false: until the next trial */
  keep?: boolean
}

interface Entry {
  contender: Contender
  result: ContenderResult
}

/** Has every subject do the work once a round, in an order of chance, each time in an empty directory. */
export async function holdContest(
  contenders: readonly Contender[],
  { directory, rounds, random, signal, keep = false }: ContestOptions,
): Promise<ContenderResult[]> {
  const entries = await Promise.all(contenders.map(enter))
  const made: string[] = []
  try {
    for (let round = -1; round < rounds; round++) {
      for (const entry of shuffled(entries, random)) {
        if (isAbsent(entry) || signal.aborted) continue
        const own = join(directory, `trial-${made.length}`)
        made.push(own)
        await runTrial(entry, own, round)
        if (!keep) await removeTree(own)
      }
    }
  } finally {
    for (const path of made) await removeTree(path)
  }
  return entries.map(({ result }) => result)
}

async function enter(contender: Contender): Promise<Entry> {
  const result: ContenderResult = { name: contender.name, samples: [], loops: [] }
  for (const name of contender.needs ?? []) {
    if ((await findExecutable(name)) === undefined) result.skipped ??= `${name} is not installed`
  }
  return { contender, result }
}

function isAbsent({ result }: Entry): boolean {
  return result.skipped !== undefined || result.failed !== undefined
}

async function runTrial(entry: Entry, directory: string, round: number): Promise<void> {
  const { contender, result } = entry
  await mkdir(directory)
  const trial = new Trial(directory)
  try {
    try {
      const run = await contender.prepare(trial)
      // What others have written is not for this one to wait for.
      await requireSuccess('sync', ['-f', directory])
      const start = performance.now()
      const loop = await watchLoop(run)
      const ms = performance.now() - start
      if (round >= 0) {
        result.samples.push({ round, ms })
        result.loops.push(loop)
      }
    } finally {
      await trial.close()
    }
  } catch (error) {
    drop(entry, error)
  }
}

/** Takes a subject out: figures of one that fails now and then would be of another kind of work. */
function drop({ contender, result }: Entry, error: unknown): void {
  const isFailure = contender.ours === true && !(error instanceof SkipError)
  result[isFailure ? 'failed' : 'skipped'] = describeError(error)
  result.samples = []
  result.loops = []
}

async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}
