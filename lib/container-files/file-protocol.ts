// SPDX-License-Identifier: MIT
import type { NativePath } from '../launcher/fs-native.ts'

/** Requests to native/file_server.cc, which has the same list. */
export const kFileOp = {
  open: 1,
  mkdir: 2,
  mknod: 3,
  symlink: 4,
  link: 5,
  unlink: 6,
  rename: 7,
  readlink: 8,
  stat: 9,
  chmod: 10,
  chown: 11,
  utimens: 12,
  setxattr: 13,
  readEntry: 14,
} as const

export type FileOpName = keyof typeof kFileOp

/** What a request may say; what it leaves out is 0 or empty. */
export interface FileRequest {
  readonly flags?: number
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly major?: number
  readonly minor?: number
  readonly seconds?: number
  readonly nanoseconds?: number
  /** Files of up to so many bytes are to be sent along. */
  readonly room?: number
  readonly path?: NativePath
  readonly other?: NativePath
  readonly value?: Uint8Array
}

const kHeaderBytes = 64
const kNoBytes = new Uint8Array(0)

/** Puts a request into the bytes of native/file_server.cc's FileRequest. */
export function encodeFileRequest(op: FileOpName, request: FileRequest): Buffer {
  const [path, other, value] = [bytesOf(request.path), bytesOf(request.other), request.value ?? kNoBytes]
  const bytes = Buffer.alloc(kHeaderBytes + path.length + other.length + value.length)
  bytes.writeUInt32LE(kFileOp[op], 0)
  bytes.writeInt32LE(request.flags ?? 0, 4)
  bytes.writeUInt32LE(request.mode ?? 0, 8)
  bytes.writeUInt32LE((request.uid ?? 0) >>> 0, 12)
  bytes.writeUInt32LE((request.gid ?? 0) >>> 0, 16)
  bytes.writeUInt32LE(request.major ?? 0, 20)
  bytes.writeUInt32LE(request.minor ?? 0, 24)
  bytes.writeUInt32LE(path.length, 28)
  bytes.writeUInt32LE(other.length, 32)
  bytes.writeUInt32LE(value.length, 36)
  bytes.writeBigInt64LE(BigInt(request.seconds ?? 0), 40)
  bytes.writeBigInt64LE(BigInt(request.nanoseconds ?? 0), 48)
  bytes.writeBigUInt64LE(BigInt(request.room ?? 0), 56)
  bytes.set(path, kHeaderBytes)
  bytes.set(other, kHeaderBytes + path.length)
  bytes.set(value, kHeaderBytes + path.length + other.length)
  return bytes
}

function bytesOf(path: NativePath | undefined): Uint8Array {
  if (path === undefined) return kNoBytes
  return typeof path === 'string' ? Buffer.from(path) : path
}
