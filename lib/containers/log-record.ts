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
/** Pieces of a line that goes on have this size: native/log_writer.h. A shorter one ends a stream in the middle of a line. */
const kPieceBytes = 16 * 1024

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
    const { stream, isWhole } = record
    // Nearly all lines are in one piece.
    if (isWhole && this.#pieces[stream].length === 0) {
      return { stream, time: record.time, line: record.text.toString(), partial: false }
    }
    this.#pieces[stream].push(record)
    this.#bytes[stream] += record.text.length
    if (isWhole || record.text.length < kPieceBytes) return this.#take(stream, !isWhole)
    return this.#bytes[stream] >= kMaxLineBytes ? this.#takeCharacters(stream) : undefined
  }

  /** Lines without end, once no more can come, or what came after them is lost. */
  end(): LogLine[] {
    return (['stdout', 'stderr'] as const).flatMap((stream) => this.#take(stream, true) ?? [])
  }

  /** All but a character that is not whole yet. */
  #takeCharacters(stream: 'stdout' | 'stderr'): LogLine | undefined {
    const last = this.#pieces[stream].pop()
    if (last === undefined) return undefined
    const size = last.text.length - unfinishedBytes(last.text)
    this.#pieces[stream].push({ ...last, text: last.text.subarray(0, size) })
    const line = this.#take(stream, true)
    if (size < last.text.length) {
      this.#pieces[stream].push({ ...last, text: last.text.subarray(size) })
      this.#bytes[stream] = last.text.length - size
    }
    return line
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

/** Bytes at the end that begin a character of UTF-8 and do not end it. */
function unfinishedBytes(text: Buffer): number {
  for (let count = 1; count <= 3 && count <= text.length; count++) {
    const byte = text[text.length - count] ?? 0
    if (byte < 0x80) return 0
    // The byte that a character starts with says how long it is.
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > count ? count : 0
  }
  return 0
}
