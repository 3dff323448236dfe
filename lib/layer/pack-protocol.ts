// SPDX-License-Identifier: MIT
import type { MessagePort } from 'node:worker_threads'
import type { Compression } from './compression.ts'
import type { ChangesJob, LayerChange } from './layer-changes.ts'
import type { PackTreeOptions, TreeSummary } from './pack-tree.ts'
import type { PackedError } from './worker-protocol.ts'

/** Where the bytes go: an open file of the owner's, or messages ({@link FromPacker}), so many bytes ahead at most. */
export type PackTarget = { kind: 'file'; fd: number } | { kind: 'messages'; port: MessagePort; windowBytes: number }

/** One tree, to a packing thread. */
export interface PackJob {
  kind: 'pack'
  /** A path, or an open descriptor. */
  directory: string | number
  target: PackTarget
  compression: Compression
  level: number | undefined
  durable: boolean
  tree: PackTreeOptions
}

/** What a thread is started with. */
export type PackThreadInput = PackJob | ChangesJob

/** What became of a tree. */
export interface PackOutcome extends TreeSummary {
  digest: string
  diffId: string
  /** Of the blob. */
  sizeBytes: number
}

/** The last message of a thread. */
export type PackReport = { result: PackOutcome | readonly LayerChange[] } | { error: PackedError }

/** Bytes, which are the receiver's, who answers with their number; `null`: that was all. */
export type FromPacker = ArrayBuffer | null
export type ToPacker = number
