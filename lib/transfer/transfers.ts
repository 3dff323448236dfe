// SPDX-License-Identifier: MIT

import { withLinkedSignal } from '../async/linked-signal.ts'
import type { StoredImage } from '../store/image-store.ts'
import type { StoreNative } from '../store/native.ts'
import { PartialStore } from '../store/partial.ts'
import type { Store } from '../store/store.ts'
import type { BlobProgress } from './bring-blob.ts'
import { findLocal, type PullParts, type PullRequest, pullImage } from './pull.ts'
import { type PushRequest, type PushResult, pushImage } from './push.ts'
import type { Registries, RegistryOverrides } from './registries.ts'
import { SharedTasks } from './shared-tasks.ts'

/** An engine's pulls and pushes, those that are going on among them. */
export class Transfers {
  readonly #parts: PullParts
  readonly #registries: Registries
  readonly #running = new Set<Promise<unknown>>()
  readonly #closing = new AbortController()

  /** @param registries are closed with this. */
  constructor(store: Store, native: StoreNative, registries: Registries) {
    this.#registries = registries
    this.#parts = {
      store,
      partials: new PartialStore(store.layout, native),
      tasks: new SharedTasks<void, BlobProgress>(),
    }
  }

  /** Gets an image from the store or from its registry, as the policy says. See {@link pullImage}. */
  pull(request: PullRequest, overrides: RegistryOverrides): Promise<StoredImage> {
    return this.#run(request.signal, async (signal) => {
      const local = await findLocal(this.#parts, request)
      const isAsked = request.policy === 'always' || (request.allPlatforms && request.policy !== 'never')
      if (local !== undefined && !isAsked) return local
      const { domain, path } = request.reference
      return this.#registries.use(domain, overrides, ({ client, origin }) => {
        const source = { repository: client.repository(path), origin: `${origin}/${path}` }
        return pullImage(this.#parts, source, { ...request, signal }, local)
      })
    })
  }

  /** Brings an image to a registry. See {@link pushImage}. */
  push(image: StoredImage, request: PushRequest, overrides: RegistryOverrides): Promise<PushResult> {
    return this.#run(request.signal, (signal) => {
      const { domain, path } = request.reference
      return this.#registries.use(domain, overrides, ({ client }) =>
        pushImage(this.#parts.store, client.repository(path), image, { ...request, signal }),
      )
    })
  }

  /** Stops what is going on, waits for its end, and closes all connections. */
  async close(reason: unknown): Promise<void> {
    this.#closing.abort(reason)
    await Promise.allSettled(this.#running)
    await this.#registries.close()
  }

  /** Runs `work` with a signal that is aborted by the caller's and by {@link close}. */
  #run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stopping = new AbortController()
    const running = withLinkedSignal(this.#closing.signal, stopping, () =>
      withLinkedSignal(signal, stopping, () => {
        stopping.signal.throwIfAborted()
        return work(stopping.signal)
      }),
    )
    this.#running.add(running)
    const forget = (): void => {
      this.#running.delete(running)
    }
    running.then(forget, forget)
    return running
  }
}
