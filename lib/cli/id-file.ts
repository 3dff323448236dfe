// SPDX-License-Identifier: MIT
import type { FileHandle } from 'node:fs/promises'
import { constants, open, rm } from 'node:fs/promises'
import { CliError, kFlagError } from './errors.ts'

/** The file of `--cidfile`, which must not be there before, and is not there after a start that failed. */
export class IdFile implements AsyncDisposable {
  readonly #path: string
  readonly #file: FileHandle | undefined
  #written: Promise<unknown> | undefined

  private constructor(path: string, file: FileHandle | undefined) {
    this.#path = path
    this.#file = file
  }

  static async open(path: string | undefined): Promise<IdFile> {
    if (path === undefined) return new IdFile('', undefined)
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
    const file = await open(path, flags, 0o644).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
      throw new CliError(`The file ${path} of --cidfile exists already.`, { exitCode: kFlagError, hint: 'remove it' })
    })
    return new IdFile(path, file)
  }

  write(id: string): void {
    this.#written = this.#file?.writeFile(id)
    // Who disposes of this hears of it.
    this.#written?.catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#file === undefined) return
    await this.#written
    await this.#file.close()
    if (this.#written === undefined) await rm(this.#path, { force: true })
  }
}
