// SPDX-License-Identifier: MIT
import { absenceNotes, absentRow, reasonOf } from './contest-report.ts'
import type { HostFacts } from './host-facts.ts'
import type { Absence, BlockResult, EnduranceResult, EventLoopResult, JobResult, LatencyResult } from './job.ts'
import { decileDrift, pairedRatio, summarize } from './statistics.ts'
import type { PlotGroup, PlotRow } from './svg.ts'
import { formatInterval, formatMegabytes, formatMs, formatRatio, formatTable, numberColumns } from './table.ts'
import { formatIdleMemory, formatThroughput } from './throughput-report.ts'
import { formatTransfer } from './transfer-report.ts'
import { formatUnpack } from './unpack-report.ts'

/** The name of the yardstick among the subjects. */
const kYardstick = 'spawn'
const kOurs = 'wherry'

/** Writes the host's facts in one line. */
export function describeHost(host: HostFacts): string {
  const { kernel, cpuModel, cpuCount, nodeVersion, cgroups, transparentHugePages, root } = host
  const memory = `${(host.memoryBytes / 1e9).toFixed(0)} GB`
  const user = root ? 'root' : 'not root'
  return `Linux ${kernel}, ${cpuCount} × ${cpuModel}, ${memory}, Node ${nodeVersion}, cgroups ${cgroups}, huge pages ${transparentHugePages}, ${user}`
}

/** Writes every result as a titled table. */
export function formatResults(results: readonly JobResult[]): string {
  const sections = results
    .filter((result) => result.kind === 'latency')
    .flatMap((result) => [interleavedSection(result), blockSection(result)])
  sections.push(...results.filter((result) => result.kind === 'unpack').map(formatUnpack))
  sections.push(...results.filter((result) => result.kind === 'transfer').map(formatTransfer))
  sections.push(...results.filter((result) => result.kind === 'throughput').map(formatThroughput))
  sections.push(...results.filter((result) => result.kind === 'idle-memory').map(formatIdleMemory))
  const endurance = results.filter((result) => result.kind === 'endurance')
  if (endurance.length > 0) sections.push(enduranceSection(endurance))
  const loops = results.filter((result) => result.kind === 'event-loop')
  if (loops.length > 0) sections.push(eventLoopSection(loops))
  return sections.join('\n\n')
}

/** Names the subjects whose trials failed, with the reason. */
export function listFailures(results: readonly JobResult[]): string[] {
  return results.flatMap((result) => {
    if (result.kind === 'latency' || result.kind === 'throughput') return failuresIn(result.subjects)
    if (result.kind === 'idle-memory') return failuresIn(result.rows.filter(({ name }) => name === kOurs))
    const own = failuresIn([{ ...result, name: result.subject }])
    if (result.kind !== 'unpack' && result.kind !== 'transfer') return own
    return [...own, ...result.rows.flatMap(({ contenders }) => failuresIn(contenders))]
  })
}

function failuresIn(subjects: readonly ({ name: string } & Absence)[]): string[] {
  return subjects.flatMap(({ name, failed }) => (failed === undefined ? [] : [`${name}: ${failed}`]))
}

/** Turns the interleaved samples into groups of a plot: p5 to p99, mark at the median. */
export function plotGroups(results: readonly JobResult[]): PlotGroup[] {
  return results
    .filter((result) => result.kind === 'latency')
    .filter(({ work }) => work === 'run')
    .map((result) => ({
      title: `embedding process of ${formatMegabytes(result.residentBytes)}`,
      rows: plotRows(result),
    }))
    .filter((group) => group.rows.length > 0)
}

function plotRows(result: LatencyResult): PlotRow[] {
  return result.subjects
    .map(({ name }) => ({ name, interleaved: interleavedOf(result, name) }))
    .filter(({ interleaved }) => interleaved.length > 0)
    .map(({ name, interleaved }) => {
      const { p5, median, p99 } = summarize(interleaved.map((sample) => sample.ms))
      return { label: name, low: p5, middle: median, high: p99, highlight: name === kOurs }
    })
}

/** A subject's samples; none when a trial of it failed. */
function interleavedOf(result: LatencyResult, wanted: string): LatencyResult['subjects'][number]['interleaved'] {
  const subject = result.subjects.find(({ name }) => name === wanted)
  return subject === undefined || reasonOf(subject) !== undefined ? [] : subject.interleaved
}

function interleavedSection(result: LatencyResult): string {
  const yardstick = interleavedOf(result, kYardstick)
  const ours = interleavedOf(result, kOurs)
  const columns = numberColumns('subject', ['runs', 'min ms', 'median ms', 'p99 ms', '× spawn', '95 %', '× wherry'])
  const rows = result.subjects.map(({ name }) => {
    const interleaved = interleavedOf(result, name)
    if (interleaved.length === 0) return absentRow(name)
    const { count, min, median, p99 } = summarize(interleaved.map((sample) => sample.ms))
    const ratio = pairedRatio(interleaved, yardstick)
    const toOurs = pairedRatio(interleaved, ours)
    return [
      name,
      String(count),
      ...[min, median, p99].map(formatMs),
      formatRatio(ratio?.ratio ?? Number.NaN),
      formatInterval(ratio),
      formatRatio(toOurs?.ratio ?? Number.NaN),
    ]
  })
  const size = formatMegabytes(result.residentBytes)
  const entries = result.peerSeccompEntries
  const filter = entries === 0 ? 'without a seccomp filter' : `with ${entries} seccomp entries`
  return `${headingOf(result)}, interleaved with pauses, embedding process of ${size} (cgroups ${result.cgroups}; crun and runc ${filter})\n\n${formatTable(columns, rows)}${absenceNotes(result.subjects)}`
}

function blockSection(result: LatencyResult): string {
  const titles = ['median ms', 'p99 ms', 'per second', '× spawn', 'machine ms/run']
  const atOnce = result.subjects.find(({ concurrent }) => concurrent)?.concurrent?.concurrency ?? 0
  const columns = numberColumns('subject', [
    ...titles,
    `per second, ${atOnce} at once`,
    `machine ms/run, ${atOnce} at once`,
  ])
  const yardstick = result.subjects.find(({ name }) => name === kYardstick)?.sequential
  const rows = result.subjects.map(({ name, sequential, concurrent, ...absence }) => {
    const isAbsent = reasonOf(absence) !== undefined
    if (isAbsent || sequential === undefined || concurrent === undefined) return absentRow(name)
    const { median, p99 } = summarize(sequential.samples)
    return [
      name,
      ...[median, p99, sequential.perSecond].map(formatMs),
      formatRatio(wallPerRun(sequential) / (yardstick === undefined ? Number.NaN : wallPerRun(yardstick))),
      ...[sequential.machineBusyMsPerRun, concurrent.perSecond, concurrent.machineBusyMsPerRun].map(formatMs),
    ]
  })
  const size = formatMegabytes(result.residentBytes)
  return `${headingOf(result)}, back to back without pauses, embedding process of ${size} (× spawn is of wall time per run)\n\n${formatTable(columns, rows)}`
}

function headingOf({ work }: LatencyResult): string {
  return work === 'run' ? 'P1' : 'P2, a program in a running container'
}

function wallPerRun(block: BlockResult): number {
  return block.wallMs / block.samples.length
}

function enduranceSection(results: readonly EnduranceResult[]): string {
  const grown = [
    'resident',
    'helpers',
    'processes',
    'fds',
    'helper fds',
    'mounts',
    'cgroups',
    'directories',
    'namespaces',
  ]
  const columns = numberColumns('subject', [
    'runs',
    'first tenth ms',
    'last tenth ms',
    'last / first',
    ...grown,
    'after close',
  ])
  const rows = results.map((result) => {
    const { subject, durations, before, after, closed } = result
    const isAbsent = reasonOf(result) !== undefined
    if (isAbsent || before === undefined || after === undefined) return absentRow(subject)
    const drift = decileDrift(durations)
    const kCounts = ['descendants', 'fds', 'helperFds', 'mounts', 'cgroups', 'directories', 'namespaces'] as const
    const afterClose =
      closed === undefined ? '–' : `${closed.descendants} processes, ${result.newNames?.length ?? 0} new names`
    return [
      subject,
      String(durations.length),
      ...[drift.firstMedian, drift.lastMedian].map(formatMs),
      formatRatio(drift.ratio),
      formatMegabytes(after.residentBytes - before.residentBytes, true),
      formatMegabytes(after.helperResidentBytes - before.helperResidentBytes, true),
      ...kCounts.map((key) => signed(after[key] - before[key])),
      afterClose,
    ]
  })
  return `P5, one after the other: medians, and growth between the first run and the last\n\n${formatTable(columns, rows)}${absenceNotes(named(results))}`
}

function eventLoopSection(results: readonly EventLoopResult[]): string {
  const columns = numberColumns('subject', [
    'runs',
    'idle p99 ms',
    'busy p50 ms',
    'busy p99 ms',
    'busy max ms',
    'p99 above idle',
  ])
  const rows = results.map(({ subject, work, runs, idle, busy, ...absence }) => {
    if (reasonOf(absence) !== undefined || idle === undefined || busy === undefined) return absentRow(subject)
    return [
      work === 'run' ? subject : `${subject}, exec`,
      String(runs),
      ...[idle.p99, busy.p50, busy.p99, busy.max, busy.p99 - idle.p99].map(formatMs),
    ]
  })
  return `P6, event-loop delay of the embedding process (1 ms of sampling included)\n\n${formatTable(columns, rows)}${absenceNotes(named(results))}`
}

function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value)
}

function named<T extends { subject: string }>(results: readonly T[]): (T & { name: string })[] {
  return results.map((result) => ({ ...result, name: result.subject }))
}
