import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isErrno, makeDirectory } from './atomic.ts'
import { namesIn } from './files.ts'
import type { StoreLayout } from './layout.ts'
import { writePrivateFile } from './private-files.ts'
import type { Session } from './session.ts'

/**
 * Content that this session needs although no image in the list may name it: what is being loaded, and the images it has used.
 * A pin is a file of digests in the session's directory, so it ends with the session however that ends.
 *
 * Pins must be made while the image list cannot change (see `ImageIndex.shared`); whoever sweeps holds that lock alone.
 */
export class Pins {
  readonly #session: Session
  readonly #dir: string
  readonly #held = new Set<string>()
  #next = 0

  constructor(session: Session) {
    this.#session = session
    this.#dir = join(session.dir, 'pins')
  }

  has(name: string): boolean {
    return this.#held.has(name)
  }

  /** @param givenName - of the pin; made up when absent. @returns the name, for {@link release}. */
  async hold(digests: readonly Digest[], givenName?: string): Promise<string> {
    const name = givenName ?? `load-${this.#next++}`
    const path = join(this.#dir, name)
    const text = `${digests.join('\n')}\n`
    try {
      await writePrivateFile(path, text)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      await makeDirectory(this.#dir, 0o700)
      await writePrivateFile(path, text)
    }
    this.#held.add(name)
    return name
  }

  async release(name: string): Promise<void> {
    this.#held.delete(name)
    await rm(join(this.#session.dir, 'pins', name), { force: true })
  }
}

/** Reads the pins of all sessions; those of dead ones count until they are repaired. */
export async function readAllPins(layout: StoreLayout): Promise<Set<Digest>> {
  const pinned = new Set<Digest>()
  for (const session of await readdir(layout.sessions)) {
    if (session.endsWith('.lock')) continue
    const dir = join(layout.sessions, session, 'pins')
    for (const name of await namesIn(dir)) {
      const text = await readFile(join(dir, name), 'utf8').catch(() => '')
      for (const line of text.split('\n')) if (isDigest(line)) pinned.add(line)
    }
  }
  return pinned
}
