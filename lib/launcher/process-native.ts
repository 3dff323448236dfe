/** A SOCK_SEQPACKET socket on the event loop. Closes its descriptor. */
export interface NativeChannel {
  /** Whether the other side has left without reading all that was sent. */
  readonly wasReset: boolean
  /** @throws {Error} Node-shaped: `EAGAIN` when the socket is full, `EPIPE` or `ECONNRESET` after the end. */
  send(bytes: Uint8Array, fds: readonly number[]): void
  /** Says that no more will be sent; what the other side sends still arrives. */
  end(): void
  close(): void
  ref(): void
  unref(): void
}

/** Reads a pipe or terminal to its end; a `maxBytes` of -1 hands each piece over as `data`. Closes its descriptor. */
export interface NativeCollector {
  /** Reads what is there now, without waiting for the event loop. */
  drain(): void
  /** Stops reading: the other side waits once the pipe is full. */
  pause(): void
  resume(): void
  /** Ends with what was read so far, whoever may still write. */
  end(): void
  close(): void
}

/** A descriptor that closes with its object: also when a worker is terminated. */
export interface NativeDescriptor {
  /** -1 once closed. */
  readonly fd: number
  close(): void
}

/** Waits for a descriptor to become readable, and closes it then. */
export interface NativeWatch {
  close(): void
  ref(): void
  unref(): void
}

/** The part of the addon that starts processes. Every function is a system call or two; errors are Node-shaped. */
export interface ProcessNative {
  readonly Channel: new (fd: number, onMessage: (message: Buffer | null, fds: number[]) => void) => NativeChannel
  readonly Collector: new (
    fd: number,
    maxBytes: number,
    onEvent: (event: 'end' | 'overflow' | 'data', bytes: Buffer | undefined) => void,
  ) => NativeCollector
  readonly Descriptor: new (fd: number) => NativeDescriptor
  /** Calls once when `fd` is readable: for a pidfd, when its process has ended. The descriptor is the watch's. */
  readonly Watch: new (
    fd: number,
    onReadable: () => void,
  ) => NativeWatch
  /** Starts the launcher from a sealed memfd; `fd` is its control socket. */
  startLauncher(): { pid: number; fd: number }
  /** A SOCK_SEQPACKET pair: ours, theirs. */
  socketPair(): [number, number]
  /** A pipe: our end (non-blocking), their end. */
  pipe(ours: 'read' | 'write'): [number, number]
  /** A sealed memfd with these bytes. */
  memfd(bytes: Uint8Array): number
  /** Tells that Node closes the descriptor from now on; any other is closed when a worker is terminated. */
  giveAway(fd: number): void
  /** A second descriptor of the same open file. */
  duplicate(fd: number): number
  openTree(dirfd: number, path: string, flags: number): number
  mountSetattr(fd: number, flags: number, set: number, clear: number, propagation: number, usernsFd: number): void
  /** A descriptor for a process. @throws {Error} `ESRCH` where there is none, `ENOSYS` before Linux 5.3 */
  pidfdOpen(pid: number): number
  pidfdSendSignal(pidfd: number, signal: number): void
  /** Waits for a child of this process that is ending. */
  reap(pid: number): void
  setWindowSize(fd: number, rows: number, columns: number): void
  /** Lets bytes through a terminal as they are, both ways. @returns how it was set before. @throws {Error} `ENOTTY`, `EIO` */
  makeRaw(fd: number): Uint8Array
  /** Sets a terminal as {@link makeRaw} found it; also from the background. @throws {Error} `EINVAL` for other bytes */
  restoreTerminal(fd: number, settings: Uint8Array): void
  /** Names of the plan operations in wire order. */
  planOps(): string[]
  /** What is wrong with an encoded plan, or undefined. */
  checkPlan(bytes: Uint8Array): string | undefined
}
