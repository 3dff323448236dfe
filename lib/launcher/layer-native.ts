/**
 * What the addon does for the threads that unpack layers: it reads, hashes and inflates on threads without JavaScript, which
 * start in no time and need nothing to be compiled.
 */
export interface LayerNative {
  /**
   * Starts a thread that reads a layer from `fd` and puts it into a ring, inflated where it is packed by gzip. The words are those
   * of lib/layer/chunk-ring.ts, and of lib/layer/growing-file.ts for a file that is being downloaded.
   *
   * @param fd stays the caller's, and open until {@link finishFeed}.
   * @returns `undefined` where this Node does not share what that takes.
   */
  startFeed(fd: number, ring: Int32Array, ringBytes: Uint8Array, growing: Int32Array | undefined): LayerFeed | undefined
  /** Ends the thread, and tells how it went. @throws {NativeError} when the file could not be read. */
  finishFeed(feed: LayerFeed): LayerFeedEnd
  /** Sleeps until somebody wakes `words[index]`, unless it is not `value` any more; for at most 20 ms. */
  futexWait(words: Int32Array, index: number, value: number): void
  /** Wakes a thread of ours that sleeps in {@link futexWait}, or one of the addon's. */
  futexWake(words: Int32Array, index: number): void
}

/** A thread that reads one layer. */
export type LayerFeed = object

export interface LayerFeedEnd {
  /**
   * `whole`: all is in the ring. `damaged`: its gzip stream is. `unsupported`: it is packed another way. `short`: the download has
   * fewer bytes than it said; `given-up`: it failed. `stopped`: nobody wanted the rest.
   */
  status: 'whole' | 'damaged' | 'unsupported' | 'short' | 'given-up' | 'undigested' | 'stopped'
  /** `sha256:…` of the file; good where it is whole. */
  digest: string
  /** Read from the file. */
  bytes: number
}
