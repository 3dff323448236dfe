// SPDX-License-Identifier: MIT
import type { Cli } from '../cli.ts'
import type { ProgressItem } from './item.ts'
import { ProgressLines } from './lines.ts'

/** Something that shows how far things are. */
export interface ProgressView {
  update(item: ProgressItem): void
  /** Leaves the terminal as it was. */
  stop(): void
}

/**
 * Shows on standard error how far the work is: bars on a terminal, lines elsewhere, nothing where it shall be quiet. Standard output
 * is for results.
 */
export async function withProgress<T>(
  cli: Cli,
  options: { quiet?: boolean | undefined; json?: boolean | undefined },
  work: (show: (item: ProgressItem | undefined) => void) => Promise<T>,
): Promise<T> {
  if (options.quiet === true || options.json === true) return work(() => {})
  const view = await openView(cli)
  try {
    return await work((item) => {
      if (item !== undefined) view.update(item)
    })
  } finally {
    view.stop()
  }
}

async function openView({ stderr }: Cli): Promise<ProgressView> {
  if (!stderr.isTTY) return new ProgressLines((text) => void stderr.write(text))
  const { ProgressBars } = await import('./bars.ts')
  return ProgressBars.open(stderr)
}
