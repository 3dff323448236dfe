// SPDX-License-Identifier: MIT
import { join } from 'node:path'
import type { Container, Engine, Image } from '../../lib/index.ts'
import { SkipError, type Subject, type SubjectContext } from '../subject.ts'

type Library = typeof import('../../lib/index.ts')

/** This library: `Container.run` of an image that is already in the store. */
export class WherrySubject implements Subject {
  readonly name = 'wherry'
  readonly #context: SubjectContext
  #library: Library | undefined
  #engine: Engine | undefined
  #image: Image | undefined

  constructor(context: SubjectContext) {
    this.#context = context
  }

  async prepare(): Promise<void> {
    const library = await loadLibrary()
    this.#library = library
    const root = join(this.#context.directory, 'engine')
    // By an engine of its own: the image is to be there already, without the threads that unpacked it.
    const importing = await library.Engine.open({ root, prepared: 0 })
    const { id } = await library.Image.import(this.#context.rootfsTar, { engine: importing }).finally(() =>
      importing.close(),
    )
    this.#engine = await library.Engine.open({ root })
    this.#image = await library.Image.get(id, { engine: this.#engine })
  }

  async trial(): Promise<void> {
    if (!this.#library || !this.#engine || !this.#image) throw new Error('prepare() has not been called')
    await this.#library.Container.run(this.#image, ['/bin/true'], { engine: this.#engine })
  }

  /** Starts a container that does nothing until it is removed. */
  async startIdle(): Promise<Container> {
    if (!this.#library || !this.#engine || !this.#image) throw new Error('prepare() has not been called')
    const command = ['/bin/sleep', '86400']
    return await this.#library.Container.start(this.#image, { engine: this.#engine, command })
  }

  async dispose(): Promise<void> {
    await this.#engine?.close()
    this.#engine = undefined
  }
}

async function loadLibrary(): Promise<Library> {
  try {
    return await import('../../lib/index.ts')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_MODULE_NOT_FOUND' && /lib\/index\.js' imported/.test(message)) {
      throw new SkipError('the library has not been compiled (npm run build)')
    }
    throw error
  }
}
