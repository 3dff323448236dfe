// SPDX-License-Identifier: MIT
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { parseContainerFilters } from '../flags/filter-flags.ts'
import { collect } from '../flags/parsers.ts'
import { addMissingCommand } from '../flags/refusal.ts'
import { confirm } from '../prompt.ts'
import { addAttach } from './attach.ts'
import { addCommit } from './commit.ts'
import { addCp } from './cp.ts'
import { addCreate } from './create.ts'
import { addDiff } from './diff.ts'
import { addExec } from './exec.ts'
import { addExport } from './export.ts'
import { addInspect } from './inspect.ts'
import { addLifecycle } from './lifecycle.ts'
import { addLogs } from './logs.ts'
import { addPort } from './port.ts'
import { addPs } from './ps.ts'
import { addRename, addRm } from './rm.ts'
import { addRun } from './run.ts'
import { addStats } from './stats.ts'
import { addTop } from './top.ts'

/** Commands of Docker's for containers that wherry has not. */
const kMissing: readonly (readonly [name: string, reason: string])[] = [
  ['update', 'limits are given when a container is made'],
]
const kMissingElsewhere: readonly (readonly [name: string, reason: string])[] = [
  ['build', 'images are not built'],
  ['compose', 'there are single containers only'],
  ['network', "containers have no network, or with '--network host' the host's"],
]

/** Adds commands for containers that last. */
export function addContainers(parent: Command, cli: Cli): void {
  addCreate(parent, cli)
  addLifecycle(parent, cli)
  addPs(parent, cli)
  for (const add of [addLogs, addRename, addRm, addExec, addCp, addDiff, addCommit, addExport]) add(parent, cli)
  for (const add of [addAttach, addTop, addStats, addPort]) add(parent, cli)
  for (const [name, reason] of kMissing) addMissingCommand(parent, name, reason)
}

/** Adds the words for what there is none of at all. */
export function addMissingCommands(parent: Command): void {
  for (const [name, reason] of kMissingElsewhere) addMissingCommand(parent, name, reason)
}

/** Adds `wherry container …`: the same commands once more, and `prune`. */
export function addContainer(parent: Command, cli: Cli): void {
  const container = parent
    .command('container')
    .summary('commands for containers')
    .description('Commands for containers.')
  addRun(container, cli)
  addContainers(container, cli)
  addPs(container, cli, 'ls')
  addInspect(container, cli, 'container')
  addPrune(container, cli)
}

interface PruneFlags {
  force?: boolean
  filter?: string[]
  json?: boolean
}

function addPrune(parent: Command, cli: Cli): void {
  parent
    .command('prune')
    .summary('remove containers that do not run')
    .description('Removes all containers that do not run, with their files and their logs.')
    .option('-f, --force', 'do not ask')
    .option('--filter <key=value>', 'label, name or ancestor; repeatable', collect)
    .option('--json', 'print the result as JSON')
    .action((flags: PruneFlags) => prune(cli, flags))
}

async function prune(cli: Cli, { force, filter = [], json }: PruneFlags): Promise<void> {
  const filters = parseContainerFilters(filter, ['label', 'name', 'ancestor'])
  if (force !== true) await confirm(cli, 'This will remove all containers that do not run.')
  await cli.withEngine(async (engine, { Container }) => {
    const { removed } = await Container.prune({ engine, filters })
    if (json === true) return cli.printJson({ removed })
    if (removed.length > 0) cli.print('Deleted Containers:', ...removed)
  })
}
