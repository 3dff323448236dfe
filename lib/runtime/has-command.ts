// SPDX-License-Identifier: MIT
import { access, constants } from 'node:fs/promises'

const kDirectories = ['/usr/bin', '/bin', '/usr/sbin', '/usr/local/bin', '/run/wrappers/bin']

/** Whether a program of this name is in one of the system's directories: PATH is the caller's, and not to be trusted. */
export async function hasCommand(name: string): Promise<boolean> {
  const found = await Promise.all(
    kDirectories.map((dir) =>
      access(`${dir}/${name}`, constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  )
  return found.includes(true)
}
