// SPDX-License-Identifier: MIT
import type { Options, Params, SingleBar } from 'cli-progress'
import { humanSize } from '../format/human.ts'
import { printable } from '../format/printable.ts'
import type { ProgressItem } from './item.ts'
import type { ProgressView } from './progress.ts'

const kStateWidth = 14
const kMinBar = 10
const kMaxBar = 50
/** What stands beside the bar: label, state, sizes, brackets. */
const kBesideBar = 12 + 2 + kStateWidth + 1 + 2 + 1 + 18

interface Output {
  write(text: string): boolean
  readonly columns?: number | undefined
}

/**
 * Progress on a terminal: a bar for each thing under way, and a line above them for each that is finished, so that there are never
 * more bars than layers at a time, however many layers an image has.
 */
export class ProgressBars implements ProgressView {
  readonly #multiBar: MultiBar
  readonly #bars = new Map<string, SingleBar>()
  readonly #finished = new Set<string>()

  private constructor(multiBar: MultiBar) {
    this.#multiBar = multiBar
  }

  /** Loads what draws. */
  static async open(output: Output & NodeJS.WritableStream): Promise<ProgressBars> {
    const { default: progress } = await import('cli-progress')
    const multiBar = new progress.MultiBar({
      stream: output,
      format: (_options: Options, params: Params, item: ProgressItem) =>
        formatBar({ ...item, bytes: params.value, totalBytes: item.totalBytes }, output.columns ?? 80),
      hideCursor: true,
      clearOnComplete: true,
      forceRedraw: true,
      // Signals are the program's to handle.
      gracefulExit: false,
      fps: 12,
    })
    return new ProgressBars(multiBar as MultiBar)
  }

  update(item: ProgressItem): void {
    if (this.#finished.has(item.key)) return
    const bar = this.#bars.get(item.key)
    if (item.isFinished) this.#finish(item, bar)
    else if (bar === undefined) this.#bars.set(item.key, this.#multiBar.create(item.totalBytes ?? 0, item.bytes, item))
    else bar.update(item.bytes, item)
  }

  stop(): void {
    this.#multiBar.update()
    this.#multiBar.stop()
  }

  #finish(item: ProgressItem, bar: SingleBar | undefined): void {
    this.#finished.add(item.key)
    this.#multiBar.log(`${printable(item.label)}: ${item.state}\n`)
    if (bar === undefined) return
    this.#bars.delete(item.key)
    this.#multiBar.remove(bar)
  }
}

/** The part of cli-progress that is used; its types lack `update`. */
interface MultiBar {
  create(total: number, value: number, payload: ProgressItem): SingleBar
  remove(bar: SingleBar): boolean
  log(text: string): void
  update(): void
  stop(): void
}

/** One line: name, state, bar, sizes. Narrow terminals get no bar. */
export function formatBar({ label, state, bytes, totalBytes }: ProgressItem, columns: number): string {
  const start = `${printable(label)}: ${state.padEnd(kStateWidth)}`
  if (totalBytes === undefined || totalBytes === 0) return `${start} ${humanSize(bytes)}`
  const sizes = `${humanSize(bytes)}/${humanSize(totalBytes)}`
  const width = Math.min(kMaxBar, columns - Math.max(kBesideBar, start.length + sizes.length + 4))
  if (width < kMinBar) return `${start} ${sizes}`
  const filled = Math.round(width * Math.min(1, bytes / totalBytes))
  const bar = `${'='.repeat(filled)}${filled < width ? '>' : ''}`.slice(0, width).padEnd(width)
  return `${start} [${bar}] ${sizes}`
}
