// SPDX-License-Identifier: MIT
import type { Readable, Writable } from 'node:stream'
import type { AttachClient } from './containers/attach-client.ts'
import { InvalidOptionError } from './errors.ts'
import type { TerminalSize } from './options/exec-options.ts'

/** Why an attachment is over. */
export type AttachmentEnd = 'ended' | 'detached'

/** A connection to the streams of a running container: see {@link Container.attach}. */
export class ContainerAttachment {
  readonly #client: AttachClient
  readonly #stdin: Writable | null
  readonly #ended: Promise<AttachmentEnd>
  #isDetached = false

  /** @internal */
  constructor(
    client: AttachClient,
    stdin: Writable | null,
    { signal, undo }: { signal: AbortSignal | undefined; undo: () => void },
  ) {
    this.#client = client
    this.#stdin = stdin
    const abort = (): void => client.close()
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
    this.#ended = client.closed.then(() => {
      signal?.removeEventListener('abort', abort)
      undo()
      if (this.#isDetached) return 'detached'
      signal?.throwIfAborted()
      return 'ended'
    })
    // Who only looks at the streams must not be ended by an abort.
    this.#ended.catch(() => undefined)
  }

  /** `null` unless the container has an input that is open, and `stdin` is `'pipe'`. */
  get stdin(): Writable | null {
    return this.#stdin
  }

  /** All that the container writes from now on; with a terminal everything comes here. To be read, or the container waits. */
  get stdout(): Readable {
    return this.#client.stdout
  }

  /** `null` with a terminal. To be read too, or resumed or destroyed, or the container waits. */
  get stderr(): Readable | null {
    return this.#client.stderr
  }

  /** Whether the container has a terminal. */
  get tty(): boolean {
    return this.#client.hasTerminal
  }

  /** Sets the size of the container's terminal, in characters; nothing without one. @throws {InvalidOptionError} */
  resize(size: TerminalSize): void {
    for (const name of ['rows', 'columns'] as const) {
      const value = size?.[name]
      if (!Number.isInteger(value) || value < 0 || value > 65_535) {
        throw new InvalidOptionError(`size.${name}`, 'a whole number from 0 to 65535', value)
      }
    }
    this.#client.resize(size.rows, size.columns)
  }

  /** Leaves; the container goes on. */
  detach(): void {
    this.#isDetached = true
    this.#client.close()
  }

  /** Waits until the container has ended, or this was detached. Rejects with `signal.reason` on abort. */
  wait(): Promise<AttachmentEnd> {
    return this.#ended
  }
}
