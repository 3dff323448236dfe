// SPDX-License-Identifier: MIT
import { printable } from './printable.ts'

const kGap = 3
const kMinWidth = 10

/** Lays out a table as Docker does: columns three spaces apart and no narrower than ten. Ends with a newline. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows.map((row) => row.map(printable))]
  const widths = header.map((_, column) =>
    Math.max(kMinWidth, ...lines.map((line) => (line[column] ?? '').length + kGap)),
  )
  return lines
    .map((line) => line.map((cell, column) => (column === line.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))))
    .map((cells) => `${cells.join('').trimEnd()}\n`)
    .join('')
}
