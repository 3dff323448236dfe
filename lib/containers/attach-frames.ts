// SPDX-License-Identifier: MIT
/** Frames of native/attach.h: a byte that says what it is, the size in four bytes, little-endian, and that. */
export const kFrame = { hello: 0, stdout: 1, stderr: 2, input: 1, inputEnd: 2, resize: 3 } as const

/** As much as one frame to the launcher may carry. */
export const kMaxInputFrame = 64 * 1024
const kHeaderBytes = 5

export function frame(kind: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.allocUnsafe(kHeaderBytes + payload.length)
  bytes[0] = kind
  bytes.writeUInt32LE(payload.length, 1)
  bytes.set(payload, kHeaderBytes)
  return bytes
}

export function resizeFrame(rows: number, columns: number): Buffer {
  const payload = Buffer.allocUnsafe(4)
  payload.writeUInt16LE(rows, 0)
  payload.writeUInt16LE(columns, 2)
  return frame(kFrame.resize, payload)
}

/** Takes frames out of a stream of bytes. Payloads are handed over as they come: a long one in several pieces. */
export class FrameReader {
  readonly #header = Buffer.allocUnsafe(kHeaderBytes)
  #headerBytes = 0
  #left = 0

  push(chunk: Buffer): { kind: number; bytes: Buffer }[] {
    const found: { kind: number; bytes: Buffer }[] = []
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        const taken = Math.min(kHeaderBytes - this.#headerBytes, chunk.length - at)
        chunk.copy(this.#header, this.#headerBytes, at, at + taken)
        this.#headerBytes += taken
        at += taken
        if (this.#headerBytes < kHeaderBytes) break
        this.#left = this.#header.readUInt32LE(1)
        if (this.#left > 0 && at === chunk.length) break
      }
      const bytes = chunk.subarray(at, at + this.#left)
      at += bytes.length
      this.#left -= bytes.length
      if (this.#left === 0) this.#headerBytes = 0
      found.push({ kind: this.#header[0] ?? 0, bytes })
    }
    return found
  }
}
