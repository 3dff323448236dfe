// SPDX-License-Identifier: MIT
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { ConflictError, NotFoundError } from '../errors.ts'
import { templateReference } from '../oci/template-reference.ts'
import { type RestartState, restartSchema } from '../options/restart-policy.ts'
import { makeDirectory, writeFileAtomic } from '../store/atomic.ts'
import { namesIn, unlinkIfThere } from '../store/files.ts'
import { readJson } from '../store/json.ts'
import type { StoreNative } from '../store/native.ts'
import { isSessionAlive } from '../store/session.ts'
import type { Store } from '../store/store.ts'
import { type ContainerRecord, healthCheckSchema, recordedOptionsSchema, stdinSchema } from './record.ts'

/** What a template is beside its image: `templates/<id>.json`, which never changes. */
export interface TemplateRecord {
  readonly formatVersion: 1
  /** 64 hexadecimal digits. */
  readonly id: string
  /** ISO 8601. */
  readonly createdAt: string
  /** The engine that makes it: without the image, the record of a dead one means nothing. */
  readonly session: string
  /** The container that it shows. */
  readonly from: { readonly id: string; readonly name: string }
  readonly command: ContainerRecord['command']
  readonly options: ContainerRecord['options']
  /** As of the container; absent: none. */
  readonly stdin?: ContainerRecord['stdin']
  readonly health?: ContainerRecord['health']
  readonly restart?: RestartState | undefined
}

const recordSchema = v.looseObject({
  formatVersion: v.literal(1),
  id: v.string(),
  createdAt: v.string(),
  session: v.string(),
  from: v.object({ id: v.string(), name: v.string() }),
  command: v.nullable(v.array(v.string())),
  options: recordedOptionsSchema,
  stdin: v.optional(stdinSchema),
  health: v.optional(healthCheckSchema),
  restart: v.optional(restartSchema),
})

const kFile = /^([0-9a-f]{64})\.json$/

/**
 * The templates of a root. One is there from the moment on when its image has its name; the record is written before, so that nobody
 * sees half of one.
 */
export class TemplateStore {
  readonly #store: Store
  readonly #native: StoreNative

  constructor(store: Store, native: StoreNative) {
    this.#store = store
    this.#native = native
  }

  /** Writes down a template whose image comes next. */
  async write(record: Omit<TemplateRecord, 'formatVersion' | 'session'>): Promise<void> {
    const { layout, session } = this.#store
    await makeDirectory(layout.templates, 0o700)
    const text = `${JSON.stringify({ formatVersion: 1, session: session.id, ...record })}\n`
    await writeFileAtomic(session.tmpPath('template'), this.#path(record.id), text)
  }

  /** @throws {NotFoundError} when there is none, or it is not whole. */
  async read(id: string): Promise<TemplateRecord> {
    const record = await this.#readIfThere(id)
    if (record === undefined || !(await this.#hasImage(id))) throw noTemplate(id)
    return record
  }

  /** All templates, the youngest first. */
  async list(): Promise<TemplateRecord[]> {
    const names = await this.#names()
    const ids = (await this.#ids()).filter((id) => names.has(templateReference(id)))
    const records = await Promise.all(ids.map((id) => this.#readIfThere(id)))
    return records
      .filter((record) => record !== undefined)
      .sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0))
  }

  /** Finds one by its id or the start of it. @throws {NotFoundError} @throws {ConflictError} */
  async find(text: string): Promise<TemplateRecord> {
    const ids = /^[0-9a-f]+$/.test(text) ? (await this.#ids()).filter((id) => id.startsWith(text)) : []
    if (ids.length > 1)
      throw new ConflictError(`The id ${text} fits ${ids.length} templates.`, 'give more of its digits')
    return await this.read(ids[0] ?? text)
  }

  /** Removes one; containers that were made from it keep what they need. @throws {NotFoundError} */
  async remove(id: string): Promise<void> {
    // In this order: a record without image is no template.
    const hadImage = await this.#store.images.removeByName(templateReference(id), true).then(
      () => true,
      (error: unknown) => {
        if (error instanceof NotFoundError) return false
        throw error
      },
    )
    const hadRecord = await unlinkIfThere(this.#path(id))
    if (!hadImage && !hadRecord) throw noTemplate(id)
  }

  /** Removes the records that killed processes left without image. */
  async removeStale(): Promise<void> {
    for (const id of await this.#ids()) {
      const record = await this.#readIfThere(id)
      const { layout } = this.#store
      if (record !== undefined && (await isSessionAlive(layout, this.#native, record.session))) continue
      // After the look at the session: what a living one was about to add is there by now.
      if (!(await this.#hasImage(id))) await rm(this.#path(id), { force: true })
    }
  }

  async #ids(): Promise<string[]> {
    return (await namesIn(this.#store.layout.templates)).flatMap((name) => kFile.exec(name)?.[1] ?? [])
  }

  #hasImage(id: string): Promise<boolean> {
    return this.#store.images.hasName(templateReference(id))
  }

  /** The names of all images. */
  async #names(): Promise<Set<string>> {
    return new Set((await this.#store.images.list()).flatMap(({ references }) => references))
  }

  async #readIfThere(id: string): Promise<TemplateRecord | undefined> {
    return (await readJson(recordSchema, this.#path(id))) as TemplateRecord | undefined
  }

  #path(id: string): string {
    return join(this.#store.layout.templates, `${id}.json`)
  }
}

function noTemplate(id: string): NotFoundError {
  return new NotFoundError(`There is no template ${id}.`, 'Template.list() names those that there are')
}
