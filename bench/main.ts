// SPDX-License-Identifier: MIT
// Entry of `npm run bench`: starts one process per configuration, prints tables, writes JSON and SVG.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeFileSystem } from './file-system.ts'
import { unmountBelow } from './files.ts'
import { findPackageRoot } from './fixtures.ts'
import { collectHostFacts, type HostFacts } from './host-facts.ts'
import type { Job, JobResult } from './job.ts'
import { type BenchOptions, kUsage, parseBenchOptions } from './options.ts'
import { describeHost, formatResults, listFailures, plotGroups } from './report.ts'
import { mountToHide, runJob } from './run-job.ts'
import { catalogueOf, kCatalogue } from './subjects/catalogue.ts'
import { renderPlot } from './svg.ts'
import { formatTargets } from './target.ts'
import { judgeTargets } from './targets.ts'

type WithoutPlace<T> = T extends unknown
  ? Omit<T, 'packageRoot' | 'directory' | 'sharedDirectory' | 'resultFile'>
  : never

/** Those that P4 compares: others would take minutes. */
const kManyAtOnce = ['wherry', 'crun']
/** Those that P7 looks at: the others have nothing that stays for each container. */
const kIdle = ['wherry', 'podman', 'dockerd']

/** Lists the jobs of a run, in order: each is done by a process of its own. */
function planJobs(options: BenchOptions): WithoutPlace<Job>[] {
  const jobs: WithoutPlace<Job>[] = []
  const { seed } = options.latency
  const among = (names: readonly string[]): string[] => names.filter((name) => options.subjects.includes(name))
  const controls = among(['wherry', 'spawn'])
  if (options.parts.includes('P1')) {
    for (const [index, megabytes] of options.residentMegabytes.entries()) {
      const residentBytes = megabytes * 1e6
      const names = index === 0 ? [] : among(options.firstSizeOnly)
      const leftOut = Object.fromEntries(names.map((name) => [name, 'a short run measures it at the first size only']))
      const subjects = options.subjects.filter((name) => !names.includes(name))
      jobs.push({ kind: 'latency', work: 'run', subjects, leftOut, residentBytes, settings: options.latency })
    }
  }
  if (options.parts.includes('P2')) {
    const subjects = options.subjects.filter((name) => catalogueOf('exec').has(name))
    const residentBytes = (options.residentMegabytes[0] ?? 0) * 1e6
    jobs.push({ kind: 'latency', work: 'exec', subjects, leftOut: {}, residentBytes, settings: options.latency })
  }
  if (options.parts.includes('P3-unpack')) jobs.push({ kind: 'unpack', rounds: options.p3Rounds, seed })
  if (options.parts.includes('P3-transfer')) jobs.push({ kind: 'transfer', rounds: options.p3Rounds, seed })
  if (options.parts.includes('P4') && among(kManyAtOnce).length > 0) {
    jobs.push({ kind: 'throughput', subjects: among(kManyAtOnce), ...options.throughput, seed })
  }
  if (options.parts.includes('P5')) {
    for (const subject of controls) jobs.push({ kind: 'endurance', subject, runs: options.enduranceRuns })
  }
  if (options.parts.includes('P6')) {
    for (const subject of controls) {
      jobs.push({ kind: 'event-loop', work: 'run', subject, runs: options.eventLoopRuns, idleMs: 2_000 })
    }
    const subject = 'wherry'
    if (controls.includes(subject)) {
      jobs.push({ kind: 'event-loop', work: 'exec', subject, runs: options.eventLoopRuns, idleMs: 2_000 })
    }
  }
  if (options.parts.includes('P7') && among(kIdle).length > 0) {
    jobs.push({ kind: 'idle-memory', subjects: among(kIdle), containers: options.idleContainers })
  }
  return jobs
}

/** Jobs with subjects that refuse a host with both cgroup versions. */
const kBesidePeers: readonly Job['kind'][] = ['latency', 'throughput', 'idle-memory']

interface Measured {
  results: JobResult[]
  /** Descriptions. */
  fileSystems: Set<string>
}

async function measureAll(options: BenchOptions, packageRoot: string, signal: AbortSignal): Promise<Measured> {
  const scratch = await mkdtemp(join(tmpdir(), 'wherry-bench-'))
  const results: JobResult[] = []
  const fileSystems = new Set<string>()
  try {
    // A runtime looks at the root file system as a mapped, unprivileged id: let it pass through.
    await chmod(scratch, 0o711)
    const v2Mount = options.asIs ? undefined : await mountToHide()
    for (const [index, job] of planJobs(options).entries()) {
      if (signal.aborted) break
      const mountPoint = join(scratch, `job-${index}`)
      await mkdir(mountPoint)
      const fileSystem = options.asIs ? undefined : await makeFileSystem(join(scratch, 'file-system'), tmpdir())
      fileSystems.add(fileSystem?.description ?? 'that of the directory for temporary files, as --as-is says')
      const image = fileSystem?.image
      const directory = join(mountPoint, 'files')
      const resultFile = join(scratch, `job-${index}.json`)
      const hideMount = kBesidePeers.includes(job.kind) ? v2Mount : undefined
      process.stderr.write(`${describeJob(job)} …\n`)
      const place = { hideMount, image, mountPoint, signal }
      results.push(await runJob({ ...job, packageRoot, directory, sharedDirectory: scratch, resultFile }, place))
      await rm(mountPoint, { recursive: true, force: true })
      if (image !== undefined) await rm(image)
    }
    return { results, fileSystems }
  } finally {
    // What a job left mounted that did not end by itself would keep the directory there.
    await unmountBelow(scratch).catch(() => undefined)
    await rm(scratch, { recursive: true, force: true })
  }
}

function describeJob(job: WithoutPlace<Job>): string {
  if (job.kind === 'throughput') return `P4: ${job.subjects.join(', ')}`
  if (job.kind === 'idle-memory') return `P7: ${job.subjects.join(', ')}`
  if (job.kind === 'latency')
    return `${job.work === 'run' ? 'P1' : 'P2'} at ${job.residentBytes / 1e6} MB: ${job.subjects.join(', ')}`
  if (job.kind === 'unpack') return 'P3-unpack'
  if (job.kind === 'transfer') return 'P3-transfer'
  return `${job.kind === 'endurance' ? 'P5' : 'P6'}: ${job.subject}`
}

async function writeResults(
  directory: string,
  startedAt: Date,
  host: HostFacts,
  options: BenchOptions,
  results: JobResult[],
): Promise<string[]> {
  await mkdir(directory, { recursive: true })
  const stem = join(directory, startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-'))
  const { outDirectory: _, ...settings } = options
  const document = { startedAt: startedAt.toISOString(), host, settings, targets: judgeTargets(results), results }
  await writeFile(`${stem}.json`, `${JSON.stringify(document, undefined, 1)}\n`)
  const groups = plotGroups(results)
  if (groups.length === 0) return [`${stem}.json`]
  const title = '/bin/true, start to exit: 5th percentile, median, 99th percentile'
  await writeFile(`${stem}.svg`, renderPlot({ title, unit: 'ms', groups, footer: describeHost(host) }))
  return [`${stem}.json`, `${stem}.svg`]
}

async function main(): Promise<void> {
  const options = parseBenchOptions(process.argv.slice(2), [...kCatalogue.keys()])
  if (options === 'help') {
    console.log(kUsage)
    return
  }
  const stopping = new AbortController()
  for (const killSignal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(killSignal, () => {
      process.exitCode = killSignal === 'SIGINT' ? 130 : 143
      stopping.abort()
    })
  }
  const startedAt = new Date()
  const packageRoot = await findPackageRoot(dirname(fileURLToPath(import.meta.url)))
  const host = await collectHostFacts()
  const { results, fileSystems } = await measureAll(options, packageRoot, stopping.signal)
  const files = `Files of subjects: ${[...fileSystems].join('; ')}`
  console.log(
    `${describeHost(host)}\n${files}\n\n${formatResults(results)}\n\n${formatTargets(judgeTargets(results))}\n`,
  )
  const directory = options.outDirectory ?? join(packageRoot, 'bench/results')
  for (const file of await writeResults(directory, startedAt, host, options, results)) console.log(`wrote ${file}`)
  const failures = listFailures(results)
  for (const failure of failures) console.error(`a trial failed: ${failure}`)
  if (failures.length > 0) process.exitCode = 1
}

await main()
