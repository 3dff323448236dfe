// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process'

/**
 * Lets output through to our terminal as it is, while a container's own terminal is joined to it. Node's raw mode is for input only: a
 * bare line feed would still return the carriage, and full-screen programs would be drawn wrong. Where `stty` is missing, they are.
 */
export class TerminalOutput {
  #changing: Promise<void> | undefined
  #isChanging = false

  /** Called in raw mode, whose end takes this back as well. */
  passThrough(): void {
    this.#isChanging = true
    this.#changing = stty('-opost').finally(() => {
      this.#isChanging = false
    })
  }

  /** Called when raw mode has ended, in case that this was faster than `stty`. */
  async restore(): Promise<void> {
    const isLate = this.#isChanging
    await this.#changing
    if (isLate) await stty('opost')
  }
}

function stty(mode: string): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn('stty', [mode], { stdio: ['inherit', 'ignore', 'ignore'] })
    child.once('close', () => resolve()).once('error', () => resolve())
  })
}
