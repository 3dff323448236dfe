// SPDX-License-Identifier: MIT
import type { ContainerCreateOptions } from './containers/create-options.ts'
import { toOptions } from './containers/recorded-options.ts'
import type { TemplateRecord } from './containers/template-store.ts'
import { type Engine, engineOf } from './engine.ts'
import { NotFoundError } from './errors.ts'
import { Image } from './image.ts'
import { templateReference } from './oci/template-reference.ts'
import { checkObject, checkString } from './options/checks.ts'
import type { HealthOptions } from './options/health-options.ts'
import { normalizePorts } from './options/port-options.ts'

/** What {@link Template.inspect} and {@link Template.list} tell. */
export interface TemplateInspection {
  /** 64 hexadecimal digits. */
  readonly id: string
  /** ISO 8601. */
  readonly createdAt: string
  /** The container that it shows, which may be gone by now. */
  readonly from: { readonly id: string; readonly name: string }
}

/**
 * The files of a container at one moment, from which new containers start without copying: see {@link Container.snapshot} and
 * {@link Container.fork}. It stays until it is removed.
 */
export class Template {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly #engine: Engine

  private constructor(engine: Engine, id: string) {
    this.#engine = engine
    this.id = id
  }

  /** Finds a template by its id or the start of it. @throws {NotFoundError} @throws {ConflictError} */
  static async get(id: string, options: { engine?: Engine | undefined } = {}): Promise<Template> {
    checkString('id', id)
    checkObject('', options, ['engine'])
    const engine = await engineOf(options)
    return new Template(engine, (await engine.templates.find(id)).id)
  }

  /** All templates, the youngest first. */
  static async list(options: { engine?: Engine | undefined } = {}): Promise<TemplateInspection[]> {
    checkObject('', options, ['engine'])
    const engine = await engineOf(options)
    return (await engine.templates.list()).map(inspectionOf)
  }

  /** Its files as an image, for what takes one: `Container.run(await template.image(), …)`. @throws {NotFoundError} */
  image(): Promise<Image> {
    return Image.get(templateReference(this.id), { engine: this.#engine })
  }

  /** What it is. @throws {NotFoundError} when it has been removed. */
  async inspect(): Promise<TemplateInspection> {
    return inspectionOf(await this.#record())
  }

  /** Removes it; containers that were made from it go on, and can be started again. @throws {NotFoundError} when it is gone. */
  async remove(): Promise<void> {
    this.#engine.assertOpen()
    await this.#engine.templates.remove(this.id)
  }

  /** Removes it: for `await using`. One that is gone is no error. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove()
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
    }
  }

  /** What a fork of it is made from. @internal */
  async parts(): Promise<{ engine: Engine; image: Image; options: ContainerCreateOptions }> {
    return { engine: this.#engine, options: forkOptions(await this.#record()), image: await this.image() }
  }

  async #record(): Promise<TemplateRecord> {
    this.#engine.assertOpen()
    return await this.#engine.templates.read(this.id)
  }
}

/** Ports of the host are there once only: a fork gets free ones. */
function forkOptions({ options, command, stdin, health, restart }: TemplateRecord): ContainerCreateOptions {
  const ports = normalizePorts(options.ports).map((port) => ({ ...port, host: 0 }))
  return {
    ...toOptions(options),
    ...(ports.length > 0 && { ports }),
    ...(command !== null && { command }),
    ...(restart && { restart: { policy: restart.policy, maxRetries: restart.maxRetries } }),
    stdin,
    health: healthOptionsOf(health),
  }
}

/** The image's check, if there is one, is in what the container had, or was turned off. */
function healthOptionsOf(check: TemplateRecord['health']): HealthOptions {
  if (check === undefined) return { test: ['NONE'] }
  const { command, ...times } = check
  return { ...times, test: ['CMD', ...command] }
}

function inspectionOf({ id, createdAt, from }: TemplateRecord): TemplateInspection {
  return { id, createdAt, from }
}
