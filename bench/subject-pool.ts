// SPDX-License-Identifier: MIT
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { findSeccompSource, makeFixtures } from './fixtures.ts'
import type { Absence } from './job.ts'
import { kDefaultCapabilities } from './oci-bundle.ts'
import { countSeccompEntries, resolveDockerSeccomp } from './seccomp.ts'
import { cgroupNameOf, SkipError, type Subject } from './subject.ts'
import { type Catalogue, kCatalogue } from './subjects/catalogue.ts'

/** A subject that is ready, or why it is not. */
export interface PreparedSubject extends Absence {
  name: string
  subject?: Subject
}

/** Names of subjects whose failure is a failure of the benchmark; a peer that does not work here is skipped. */
const kMustWork = new Set(['wherry', 'spawn'])

/** Prepares subjects in a directory of their own, and takes them down again. */
export class SubjectPool {
  readonly #prepared: PreparedSubject[] = []
  readonly #started: Subject[] = []
  /** System calls named by the profile of the OCI runtimes; 0 when there is no profile. */
  readonly seccompEntries: number

  private constructor(seccompEntries: number) {
    this.seccompEntries = seccompEntries
  }

  /** Makes the fixtures and prepares each subject, with one trial to see that it works here. */
  static async open(
    names: readonly string[],
    directory: string,
    packageRoot: string,
    catalogue: Catalogue = kCatalogue,
  ): Promise<SubjectPool> {
    await mkdir(directory, { recursive: true })
    await chmod(directory, 0o711)
    const fixtures = await makeFixtures(directory)
    const seccompSource = await findSeccompSource(packageRoot)
    const pool = new SubjectPool(countEntries(seccompSource))
    for (const name of names) {
      const make = catalogue.get(name)
      if (make === undefined) throw new RangeError(`no subject is called ${name}`)
      const own = join(directory, name)
      await mkdir(own, { recursive: true })
      const cgroupName = cgroupNameOf(process.pid, name)
      await pool.#prepare(make({ ...fixtures, directory: own, cgroupName, seccompSource }))
    }
    return pool
  }

  /** Every subject asked for, in that order. */
  get prepared(): readonly PreparedSubject[] {
    return this.#prepared
  }

  /** Takes all subjects down; goes on to the next when one fails, and rejects with the first failure at the end. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (const subject of this.#started.splice(0).reverse()) {
      await subject.dispose().catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }

  async #prepare(subject: Subject): Promise<void> {
    this.#started.push(subject)
    try {
      await subject.prepare()
      await subject.trial()
      await subject.afterTrial?.()
      this.#prepared.push({ name: subject.name, subject })
    } catch (error) {
      const message = describeError(error)
      const skip = error instanceof SkipError || !kMustWork.has(subject.name)
      this.#prepared.push({ name: subject.name, ...(skip ? { skipped: message } : { failed: message }) })
    }
  }
}

function countEntries(seccompSource: unknown): number {
  if (seccompSource === undefined) return 0
  return countSeccompEntries(resolveDockerSeccomp(seccompSource, process.arch, kDefaultCapabilities))
}

/** Writes into a result why it is not there, or not whole. */
export function noteAbsence(result: Absence, error: unknown): void {
  result[error instanceof SkipError ? 'skipped' : 'failed'] = describeError(error)
}

/** Says an error in one line, with its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : ` (${describeError(error.cause)})`
  return `${error.message.replaceAll(/\s*\n\s*/g, ' / ')}${cause}`
}
