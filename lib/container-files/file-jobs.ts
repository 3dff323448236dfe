// SPDX-License-Identifier: MIT
import type { MessagePort } from 'node:worker_threads'
import type { FileType } from '../layer/file-types.ts'
import type { LayerLimits } from '../layer/limits.ts'
import type { PackedError } from '../layer/worker-protocol.ts'

/** Who owns what is written; what is left out is root's for new things, and stays as it is for others. */
export interface OwnerAndMode {
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Permission bits. */
  readonly mode?: number | undefined
}

export type ContainerFileType = FileType

/** What {@link Container.stat} tells. */
export interface ContainerFileStatus {
  readonly type: ContainerFileType
  /** Permission bits. */
  readonly mode: number
  /** Of the container: 0 is its root. */
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  readonly links: number
  readonly modifiedAt: Date
  /** Of a symbolic link: what it says. */
  readonly target: string | undefined
}

/** One name of a directory. */
export interface ContainerDirectoryEntry {
  readonly name: string
  readonly type: ContainerFileType
}

/** One piece of work for a thread. Paths of containers are absolute. */
export type FileJob =
  | { kind: 'stat'; path: string; followSymlinks: boolean }
  | { kind: 'readdir'; path: string }
  | { kind: 'read'; path: string; maxBytes: number }
  | { kind: 'write'; path: string; bytes: Uint8Array; owner: OwnerAndMode }
  | { kind: 'remove'; path: string; recursive: boolean; force: boolean }
  | { kind: 'mkdir'; path: string; recursive: boolean; mode: number }
  | {
      kind: 'copyIn'
      source: string
      target: string
      owner: OwnerAndMode
      preserveOwner: boolean
      limits: LayerLimits
    }
  | { kind: 'extract'; port: MessagePort; target: string; owner: OwnerAndMode; limits: LayerLimits }
  | { kind: 'copyOut'; path: string; target: string; preserveOwner: boolean; limits: LayerLimits }
  | { kind: 'archive'; path: string; port: MessagePort; windowBytes: number; limits: LayerLimits }
  /** Removes everything in a directory. */
  | { kind: 'empty'; target: string }
  /** Copies what is in a directory, if there is one, into an empty one, with owners, modes and attributes. */
  | { kind: 'fill'; source: string; target: string; limits: LayerLimits }
  | { kind: 'export'; port: MessagePort; windowBytes: number; limits: LayerLimits }

/** To a thread, one at a time. `socket` is that of a process that serves files; it stays the sender's. */
export interface FileJobMessage {
  readonly socket: number
  readonly job: FileJob
}

/** From a thread, when it has nothing more to do with a job. */
export type FileJobReport = { result: unknown } | { error: PackedError }
