// SPDX-License-Identifier: MIT
import { Command, type CommanderError } from 'commander'
import type { Cli } from './cli.ts'
import { addContainer, addContainers, addMissingCommands } from './commands/container.ts'
import { addEvents } from './commands/events.ts'
import { addHistory } from './commands/history.ts'
import { addImage } from './commands/image.ts'
import { addImages } from './commands/images.ts'
import { addImport } from './commands/import.ts'
import { addInspect } from './commands/inspect.ts'
import { addLoad } from './commands/load.ts'
import { addLogin, addLogout } from './commands/login.ts'
import { addPull } from './commands/pull.ts'
import { addPush } from './commands/push.ts'
import { addRmi } from './commands/rmi.ts'
import { addRun } from './commands/run.ts'
import { addSave } from './commands/save.ts'
import { addSearch } from './commands/search.ts'
import { addServeRegistry } from './commands/serve-registry.ts'
import { addSystem } from './commands/system.ts'
import { addTag } from './commands/tag.ts'
import { addVolume } from './commands/volume.ts'
import { kFailure, kFlagError } from './errors.ts'

const kCommands = [
  addRun,
  addContainers,
  addEvents,
  addPull,
  addPush,
  addImages,
  addRmi,
  addTag,
  addHistory,
  addInspect,
  addSave,
  addLoad,
  addImport,
  addSearch,
  addLogin,
  addLogout,
  addServeRegistry,
  addContainer,
  addImage,
  addVolume,
  addSystem,
]

/** Faults of flags, which Docker tells apart from other wrong use. */
const kFlagFaults = [
  'commander.unknownOption',
  'commander.optionMissingArgument',
  'commander.invalidArgument',
  'commander.conflictingOption',
  'commander.missingMandatoryOptionValue',
]

/** Describes the whole command line. Nothing of it throws `process.exit`: see {@link exitCodeOf}. */
export function makeProgram(cli: Cli): Command {
  const program = new Command('wherry')
    .description('Containers without a daemon.')
    .version(cli.version, '-v, --version', 'display the version')
    .option('--root <dir>', 'state directory (default: /var/lib/wherry, or ~/.local/share/wherry without root)')
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.stdout.write(text),
      writeErr: (text) => void cli.stderr.write(text),
      outputError: (text, write) => write(explainFault(text)),
    })
    .hook('preAction', () => {
      cli.root = program.opts<{ root?: string }>().root
    })
  for (const add of kCommands) add(program, cli)
  addMissingCommands(program)
  pointToHelp(program, 'wherry')
  return program
}

/** Adds to what commander says of wrong use where to read more. */
function pointToHelp(command: Command, path: string): void {
  command.showHelpAfterError(`See '${path} --help'.`)
  for (const each of command.commands) pointToHelp(each, `${path} ${each.name()}`)
}

function explainFault(text: string): string {
  const fault = text.replace(/^error: /, 'wherry: ')
  return fault.includes("unknown option '--root'") ? `${fault.trimEnd()}\n(--root goes before the command)\n` : fault
}

/** What the process exits with after commander has said what is wrong, or shown its help. */
export function exitCodeOf(error: CommanderError): number {
  if (error.exitCode === 0) return 0
  return kFlagFaults.includes(error.code) ? kFlagError : kFailure
}
