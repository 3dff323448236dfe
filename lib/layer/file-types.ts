// SPDX-License-Identifier: MIT
/** What a file is. */
export type FileType = 'file' | 'directory' | 'symlink' | 'char-device' | 'block-device' | 'fifo' | 'socket'

const kTypes: ReadonlyMap<number, FileType> = new Map([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
  [0o020000, 'char-device'],
  [0o060000, 'block-device'],
  [0o010000, 'fifo'],
  [0o140000, 'socket'],
])

/** Reads the type from a mode as `stat` returns it; `undefined` where there is none like that. @source inode(7) */
export function fileTypeOf(mode: number): FileType | undefined {
  return kTypes.get(mode & 0o170000)
}
