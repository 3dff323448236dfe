// SPDX-License-Identifier: MIT
import { LayerError } from '../errors.ts'
import { type ByteString, toDisplay } from './byte-string.ts'
import type { TarHeader, TarTime } from './tar-header.ts'
import type { PaxFields } from './tar-pax.ts'

export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char-device' | 'block-device' | 'fifo'

/** One member of an archive with everything applied that belongs to it. Names are as written, not cleaned. */
export interface TarEntry {
  path: ByteString
  linkPath: ByteString
  type: TarEntryType
  mode: number
  uid: number
  gid: number
  /** Of the file as it will be, holes included; of anything else, the bytes in the archive that are skipped. */
  sizeBytes: number
  mtime: TarTime
  deviceMajor: number
  deviceMinor: number
  xattrs: ReadonlyMap<string, Buffer> | undefined
  /** Whether `data` leaves holes; the file must then be extended to `sizeBytes`. */
  isSparse: boolean
}

/** Receives what the parser finds, in the archive's order: `entry`, any number of `data`, `entryEnd`. */
export interface TarHandler {
  entry(entry: TarEntry): void
  /** Bytes `start` to `end` of `chunk` belong at `position` of the file. The chunk may be reused after the call. */
  data(chunk: Buffer, start: number, end: number, position: number): void
  entryEnd(): void
}

const kTypes: Readonly<Record<string, TarEntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file', // contiguous
  S: 'file', // old GNU sparse
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char-device',
  '4': 'block-device',
  '5': 'directory',
  D: 'directory', // GNU incremental; its body lists names
  '6': 'fifo',
}

/** What stands before an entry's own header and says more than it. */
export interface EntryRecords {
  layer: string
  global: PaxFields
  local: PaxFields
  longName: ByteString | undefined
  longLink: ByteString | undefined
}

/**
 * Makes an entry from its header and the records that override it. Its size is left to the caller.
 *
 * @throws {LayerError} when its type is not supported.
 */
export function entryOf(header: TarHeader, { layer, global, local, longName, longLink }: EntryRecords): TarEntry {
  const path = local.sparse?.name ?? local.path ?? global.path ?? longName ?? header.name
  let type = kTypes[header.typeFlag]
  if (type === undefined) {
    const flag = JSON.stringify(header.typeFlag)
    throw new LayerError(layer, toDisplay(path), `entries of type ${flag} are not supported`)
  }
  // The v7 way to write a directory.
  if (type === 'file' && path.endsWith('/')) type = 'directory'
  return {
    path,
    linkPath: local.linkPath ?? global.linkPath ?? longLink ?? header.linkName,
    type,
    mode: header.mode,
    uid: local.uid ?? global.uid ?? header.uid,
    gid: local.gid ?? global.gid ?? header.gid,
    sizeBytes: 0,
    mtime: local.mtime ?? global.mtime ?? header.mtime,
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
    xattrs: local.xattrs ?? global.xattrs,
    isSparse: false,
  }
}
