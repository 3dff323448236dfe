// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import { CliError, kFlagError } from '../errors.ts'

/** A flag that is known, so that its value is not taken for the image, and refused with a reason. */
export function addRefusal(command: Command, flags: string, reason: string): void {
  const option = new Option(flags).hideHelp()
  command.addOption(option)
  command.on(`option:${option.name()}`, () => {
    throw new CliError(`Docker's '${option.long}' is not supported: ${reason}.`, { exitCode: kFlagError })
  })
}

/** A command of Docker's that wherry has not: its name is known, and refused with a reason. */
export function addMissingCommand(parent: Command, name: string, reason: string): void {
  parent
    .command(name, { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(() => {
      throw new CliError(`Docker's '${name}' is not supported: ${reason}.`)
    })
}
