// SPDX-License-Identifier: MIT
/** A line that a container wrote. */
export interface LogLine {
  readonly stream: 'stdout' | 'stderr'
  /** When it was written: UTC, ISO 8601 with nanoseconds. */
  readonly time: string
  /** Without its newline. Bytes that are no UTF-8 are shown as U+FFFD. */
  readonly line: string
  /** Whether the line goes on in the next one of this stream: it is longer than 1 MiB, or the program ended in the middle of it. */
  readonly partial: boolean
}

/** One record of a log file: a line or a piece of one. */
export interface LogRecord {
  readonly stream: 'stdout' | 'stderr'
  readonly time: string
  /** Whether it ends its line. */
  readonly isWhole: boolean
  readonly text: Buffer
}

const kSpace = 0x20
const kMaxLineBytes = 1024 * 1024

/**
 * Reads one record of the CRI log format, without its newline.
 *
 * @returns `undefined` for what is none, such as a record that a full disk cut short.
 * @source https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */
export function parseLogRecord(bytes: Buffer): LogRecord | undefined {
  const first = bytes.indexOf(kSpace)
  const second = bytes.indexOf(kSpace, first + 1)
  const third = bytes.indexOf(kSpace, second + 1)
  if (first < 0 || second < 0 || third < 0 || third > 64) return undefined
  const stream = bytes.toString('latin1', first + 1, second)
  const mark = bytes.toString('latin1', second + 1, third)
  if ((stream !== 'stdout' && stream !== 'stderr') || (mark !== 'F' && mark !== 'P')) return undefined
  return { stream, time: bytes.toString('latin1', 0, first), isWhole: mark === 'F', text: bytes.subarray(third + 1) }
}

/** Puts the pieces of lines together, stream by stream. */
export class LineJoiner {
  readonly #pieces = { stdout: [] as LogRecord[], stderr: [] as LogRecord[] }
  readonly #bytes = { stdout: 0, stderr: 0 }

  /** @returns the line that this record completes. */
  push(record: LogRecord): LogLine | undefined {
    const { stream } = record
    // A copy: what it is part of is read into again.
    this.#pieces[stream].push({ ...record, text: Buffer.from(record.text) })
    this.#bytes[stream] += record.text.length
    return record.isWhole || this.#bytes[stream] >= kMaxLineBytes ? this.#take(stream, !record.isWhole) : undefined
  }

  /** Lines without end, once no more can come. */
  end(): LogLine[] {
    return (['stdout', 'stderr'] as const).flatMap((stream) => this.#take(stream, true) ?? [])
  }

  #take(stream: 'stdout' | 'stderr', partial: boolean): LogLine | undefined {
    const pieces = this.#pieces[stream]
    const time = pieces[0]?.time
    if (time === undefined) return undefined
    this.#pieces[stream] = []
    this.#bytes[stream] = 0
    return { stream, time, line: Buffer.concat(pieces.map(({ text }) => text)).toString(), partial }
  }
}
