// SPDX-License-Identifier: MIT
import { createReadStream } from 'node:fs'
import { NotFoundError } from '../errors.ts'
import { isErrno } from '../store/atomic.ts'
import type { TarMember } from './tar-writer.ts'

const kChunkBytes = 1024 * 1024

/** A member with bytes that are in memory. */
export function bytesMember(name: string, bytes: Uint8Array): TarMember {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  return { kind: 'file', name, sizeBytes: bytes.byteLength, chunks: chunks() }
}

/** A member with the bytes of a file, which is opened when its turn comes. */
export function fileMember(name: string, path: string, sizeBytes: number): TarMember {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* createReadStream(path, { highWaterMark: kChunkBytes }) as AsyncIterable<Buffer>
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      throw new NotFoundError(`Blob ${name} is not in the store any more.`, undefined, error)
    }
  }
  return { kind: 'file', name, sizeBytes, chunks: chunks() }
}
