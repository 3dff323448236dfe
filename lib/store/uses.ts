// SPDX-License-Identifier: MIT
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pid } from 'node:process'
import { type Digest, digestHex, isDigest } from '../oci/digest.ts'
import { isErrno } from './atomic.ts'
import { readContainerState } from './container-state.ts'
import { namesIn } from './files.ts'
import type { StoreLayout } from './layout.ts'
import type { StoreNative } from './native.ts'
import { makePrivateDirectory, writePrivateFile } from './private-files.ts'
import { isSessionAlive, type Session } from './session.ts'

const kLingerMs = 1000

/**
 * Which images containers use, here and in other processes.
 *
 * The containers of this process are counted in memory. For other processes there is a file per image in the session's
 * directory, `uses/<manifest hex>`; it is written beside the first run, and stays for a second after the last one, so that runs
 * that follow each other touch no file. It only decides whether a removal is refused: what keeps content is pins.
 */
export class Uses {
  readonly #layout: StoreLayout
  readonly #native: StoreNative
  readonly #session: Session
  readonly #inBackground: (work: Promise<unknown>, what: string) => void
  readonly #counts = new Map<Digest, number>()
  readonly #lingering = new Map<Digest, NodeJS.Timeout>()
  /** Changes of the files, one after the other. */
  #changes: Promise<unknown> = Promise.resolve()

  constructor(parts: {
    layout: StoreLayout
    native: StoreNative
    session: Session
    inBackground: (work: Promise<unknown>, what: string) => void
  }) {
    this.#layout = parts.layout
    this.#native = parts.native
    this.#session = parts.session
    this.#inBackground = parts.inBackground
  }

  /** Whether a container of this process uses the image. */
  has(digest: Digest): boolean {
    return this.#counts.has(digest)
  }

  add(digest: Digest): void {
    const count = this.#counts.get(digest) ?? 0
    this.#counts.set(digest, count + 1)
    if (count > 0) return
    const timer = this.#lingering.get(digest)
    clearTimeout(timer)
    if (!this.#lingering.delete(digest)) this.#change(() => this.#write(digest))
  }

  /** @returns whether that was the last one. */
  remove(digest: Digest): boolean {
    const count = (this.#counts.get(digest) ?? 1) - 1
    if (count > 0) {
      this.#counts.set(digest, count)
      return false
    }
    this.#counts.delete(digest)
    const timer = setTimeout(() => {
      this.#lingering.delete(digest)
      this.#change(() => rm(this.#path(digest), { force: true }))
    }, kLingerMs)
    timer.unref()
    this.#lingering.set(digest, timer)
    return true
  }

  /** @returns for every image in use, who uses it, in words such as `container db`. */
  async all(): Promise<Map<Digest, string>> {
    const users = new Map<Digest, string>()
    for (const digest of this.#counts.keys()) users.set(digest, 'a container of this process')
    for (const name of await readdir(this.#layout.sessions)) {
      if (name.endsWith('.lock') || name === this.#session.id) continue
      for (const [digest, user] of await this.#usesOf(name)) users.set(digest, user)
    }
    for (const id of await namesIn(this.#layout.containers)) {
      const state = await readContainerState(join(this.#layout.containers, id, 'state.json'))
      for (const digest of state?.content ?? [])
        if (isDigest(digest)) users.set(digest, `container ${state?.name ?? id}`)
    }
    return users
  }

  /** Forgets the timers: the session's directory is about to go, with the files in it. */
  close(): void {
    for (const timer of this.#lingering.values()) clearTimeout(timer)
    this.#lingering.clear()
  }

  async #usesOf(session: string): Promise<[Digest, string][]> {
    const dir = join(this.#layout.sessions, session, 'uses')
    const names = await namesIn(dir)
    if (names.length === 0 || !(await isSessionAlive(this.#layout, this.#native, session))) return []
    const uses: [Digest, string][] = []
    for (const name of names) {
      const [digest = '', owner = ''] = (await readFile(join(dir, name), 'utf8').catch(() => '')).split('\n')
      if (isDigest(digest)) uses.push([digest, `a container of process ${owner}`])
    }
    return uses
  }

  #path(digest: Digest): string {
    return join(this.#session.dir, 'uses', digestHex(digest))
  }

  async #write(digest: Digest): Promise<void> {
    // Not recursive: a session that is closed meanwhile must not come back.
    await makePrivateDirectory(join(this.#session.dir, 'uses')).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error
    })
    await writePrivateFile(this.#path(digest), `${digest}\n${pid}\n`)
  }

  #change(work: () => Promise<void>): void {
    const done = this.#changes.then(work)
    this.#changes = done.catch(() => undefined)
    this.#inBackground(done, 'note of an image in use')
  }
}
