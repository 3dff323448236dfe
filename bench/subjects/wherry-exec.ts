// SPDX-License-Identifier: MIT
import type { Container } from '../../lib/index.ts'
import type { Subject, SubjectContext } from '../subject.ts'
import { WherrySubject } from './wherry.ts'

/** `container.exec` in a container of this library that is there beforehand. */
export class WherryExecSubject implements Subject {
  readonly name = 'wherry'
  readonly #parts: WherrySubject
  #container: Container | undefined

  constructor(context: SubjectContext) {
    this.#parts = new WherrySubject(context)
  }

  async prepare(): Promise<void> {
    await this.#parts.prepare()
    this.#container = await this.#parts.startIdle()
  }

  async trial(): Promise<void> {
    // Without it nothing would be done, and that very fast.
    if (this.#container === undefined) throw new Error('there is no container to run the program in')
    await this.#container.exec(['/bin/true'])
  }

  async dispose(): Promise<void> {
    await this.#container?.remove({ force: true })
    await this.#parts.dispose()
  }
}
