// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { DiskUsage, EngineInfo, UsageEntry } from '../../index.ts'
import type { Cli } from '../cli.ts'
import { kFailure } from '../errors.ts'
import { humanSize } from '../format/human.ts'
import { printable } from '../format/printable.ts'
import { formatTable } from '../format/table.ts'

/** Adds `wherry info`, `wherry version` and `wherry system …`. */
export function addSystem(parent: Command, cli: Cli): void {
  const system = parent
    .command('system')
    .summary('commands for the state directory')
    .description('Commands for the state directory.')
  addInfo(parent, cli)
  addInfo(system, cli)
  addVersion(parent, cli)
  addDf(system, cli)
  addCheck(system, cli)
}

function addInfo(parent: Command, cli: Cli): void {
  parent
    .command('info')
    .summary('show what this host can do')
    .description('Shows what this host can and cannot do, with what was looked at and what helps.')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) =>
      cli.withEngine(async (engine) => {
        const info = await engine.info()
        if (json === true) cli.printJson({ version: cli.version, ...info })
        else cli.print(...describeInfo(cli.version, info))
      }),
    )
}

function describeInfo(version: string, info: EngineInfo): string[] {
  const features = info.features.flatMap(({ name, available, probe, hint }) => [
    ` ${name}: ${available ? 'yes' : 'no'} (${probe})`,
    ...(hint === undefined ? [] : [`  Hint: ${hint}`]),
  ])
  return [
    `Version: ${version}`,
    `Root directory: ${info.root}`,
    `Rootful: ${info.rootful ? 'yes' : 'no'}`,
    `Kernel: ${info.kernel}`,
    `Architecture: ${info.arch}`,
    `CPUs: ${info.cpus}`,
    `Memory: ${humanSize(info.memoryBytes)}`,
    `Cgroups: ${info.cgroupVersion} (${info.controllers.join(' ') || 'no controllers'})`,
    'Features:',
    ...features,
  ]
}

function addVersion(parent: Command, cli: Cli): void {
  parent
    .command('version')
    .summary('show versions')
    .description('Shows the versions of wherry and of what it runs on.')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => {
      const versions = {
        wherry: cli.version,
        node: process.versions.node,
        platform: `${process.platform}/${process.arch}`,
      }
      if (json === true) cli.printJson(versions)
      else cli.print(...Object.entries(versions).map(([name, version]) => `${name} ${version}`))
    })
}

function addDf(parent: Command, cli: Cli): void {
  parent
    .command('df')
    .summary('show what takes space')
    .description('Shows what the state directory holds, and what could be freed.')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) =>
      cli.withEngine(async (engine) => {
        const usage = await engine.diskUsage()
        if (json === true) cli.printJson(usage)
        else cli.stdout.write(usageTable(usage))
      }),
    )
}

/** Pure. */
export function usageTable(usage: DiskUsage): string {
  const { images, layers, blobs, containers, volumes, partialDownloads, temporary } = usage
  const unneeded = layers.reclaimableBytes + blobs.reclaimableBytes
  const rows = [
    usageRow('Images', images, String(images.inUse)),
    usageRow('Containers', containers, String(containers.count)),
    usageRow('Volumes', volumes, String(volumes.inUse)),
    ['Unneeded layers and blobs', '-', '-', humanSize(unneeded), share(unneeded, unneeded)],
    usageRow('Interrupted downloads', partialDownloads, '-'),
    usageRow('Temporary', temporary, '-'),
  ]
  return formatTable(['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'], rows)
}

function usageRow(type: string, { count, bytes, reclaimableBytes }: UsageEntry, active: string): string[] {
  return [type, String(count), active, humanSize(bytes), share(reclaimableBytes, bytes)]
}

function share(part: number, whole: number): string {
  return whole === 0 ? humanSize(part) : `${humanSize(part)} (${Math.floor((part / whole) * 100)}%)`
}

function addCheck(parent: Command, cli: Cli): void {
  parent
    .command('check')
    .summary('look for damage')
    .description(
      'Compares the whole state directory with what it should be. Changes nothing; exits with 1 where something is wrong.',
    )
    .option('--quick', 'leave out the content of blobs')
    .option('--json', 'print JSON')
    .action(({ quick, json }: { quick?: boolean; json?: boolean }) =>
      cli.withEngine(async (engine) => {
        const { faults } = await engine.verify({ content: quick !== true, signal: cli.signal })
        if (json === true) cli.printJson(faults)
        else if (faults.length === 0) cli.print('Nothing is wrong.')
        else cli.print(...faults.map(({ path, reason }) => printable(`${path} ${reason}`)))
        if (faults.length > 0) cli.exitCode = kFailure
      }),
    )
}
