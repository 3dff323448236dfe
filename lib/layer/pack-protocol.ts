// SPDX-License-Identifier: MIT
import type { MessagePort } from 'node:worker_threads'
import type { IdMap } from '../oci/build-spec.ts'
import type { Compression } from './compression.ts'
import type { ChangesJob, LayerChange } from './layer-changes.ts'
import type { LayerLimits } from './limits.ts'
import type { PackedError } from './worker-protocol.ts'

export interface PackTreeOptions {
  /** Names the tree in errors. */
  layer: string
  limits: LayerLimits
  /** Whether what is mounted in the tree is part of it, but for the kernel's own file systems. */
  crossMounts?: boolean
  /** Whether what overlayfs marks as deleted becomes a layer's marks. */
  whiteouts: boolean
  idMap: IdMap | undefined
  /** Seconds since the epoch; later times become this one. */
  clampSeconds: number | undefined
}

/** What a tree turned out to be. */
export interface TreeSummary {
  /** Members of the archive. */
  entries: number
  /** Sum of the sizes of all files, holes included. */
  unpackedBytes: number
  /** Sockets, which archives cannot hold, and directories that something else is mounted on. */
  skipped: number
  /** Files that became shorter while they were read, the first 100: their ends are zeros. */
  shrunk: string[]
}

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
  /** Socket of a process that reads the tree in our place. */
  server: number | undefined
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
