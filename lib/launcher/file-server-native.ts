// SPDX-License-Identifier: MIT

/** The part of the addon that talks to a process that serves files (native/file_server.cc). */
export interface FileServerNative {
  /** A pair of stream sockets that block: ours, theirs. */
  fileSocket(): [number, number]
  /**
   * Sends a request with up to two descriptors and waits for its reply. Blocks the thread.
   *
   * @param status gets the reply's numbers, at the places that `kEntryField` names; its descriptor is the caller's to close.
   * @param bytes gets a file's content from `start` on, at most up to `end`.
   * @param name names the call in errors.
   * @returns what else the reply has. @throws {NativeError} of the call itself, or EPIPE when the process is gone.
   */
  fileCall(
    socket: number,
    request: Uint8Array,
    descriptors: readonly number[],
    status: Float64Array,
    bytes: Uint8Array,
    start: number,
    end: number,
    name: string,
  ): Buffer | undefined
}
