// SPDX-License-Identifier: MIT
import type { Blobs } from './blobs.ts'
import type { Gate } from './gate.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { Manifests } from './manifests.ts'
import type { Mirror } from './mirror.ts'
import type { NormalizedServerOptions } from './options.ts'
import type { Storage } from './storage.ts'
import type { Tokens } from './token.ts'
import type { Uploads } from './uploads.ts'

/** What the endpoints work with. */
export interface ServerParts {
  readonly options: NormalizedServerOptions
  readonly storage: Storage
  readonly blobs: Blobs
  readonly manifests: Manifests
  readonly uploads: Uploads
  readonly gate: Gate
  readonly tokens: Tokens | undefined
  /** Held per repository while its manifests change, or garbage in it is looked for. */
  readonly locks: KeyedLock
  /** Fetches what is missing here; `undefined` unless the server is a cache. */
  readonly mirror: Mirror | undefined
}
