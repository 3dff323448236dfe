// SPDX-License-Identifier: MIT
import type { Ratio } from './statistics.ts'

/** A column of a table; numbers read better to the right. */
export interface Column {
  title: string
  align: 'left' | 'right'
}

/** A column of names, then columns of numbers. */
export function numberColumns(first: string, titles: readonly string[]): Column[] {
  return [{ title: first, align: 'left' }, ...titles.map((title): Column => ({ title, align: 'right' }))]
}

/** Lays out a Markdown table whose columns also line up in a terminal. A missing cell is empty. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, index) =>
    Math.max(3, column.title.length, ...rows.map((row) => escapeCell(row[index]).length)),
  )
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const pad = (text: string, index: number) =>
    columns[index]?.align === 'right' ? text.padStart(widths[index] ?? 0) : text.padEnd(widths[index] ?? 0)
  const rule = columns.map((column, index) => {
    const dashes = '-'.repeat((widths[index] ?? 3) - 1)
    return column.align === 'right' ? `${dashes}:` : `${dashes}-`
  })
  const body = rows.map((row) => line(columns.map((_, index) => pad(escapeCell(row[index]), index))))
  return [line(columns.map((column, index) => pad(column.title, index))), line(rule), ...body].join('\n')
}

/** Writes a duration with three significant digits at least: `4.52`, `38.1`, `989`. */
export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return '–'
  return ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)
}

/** Writes a ratio: `0.83 ×`, `12.4 ×`. */
export function formatRatio(ratio: number): string {
  return Number.isFinite(ratio) ? `${formatMs(ratio)} ×` : '–'
}

/** Writes the interval of a ratio: `0.41–0.76`, or `–` where there is none. */
export function formatInterval(ratio: Ratio | undefined): string {
  const interval = ratio?.interval
  return interval === undefined ? '–' : `${formatMs(interval.low)}–${formatMs(interval.high)}`
}

/** Writes bytes as MB (10⁶), signed where asked for. */
export function formatMegabytes(bytes: number, signed = false): string {
  if (!Number.isFinite(bytes)) return '–'
  return `${signed && bytes >= 0 ? '+' : ''}${(bytes / 1e6).toFixed(1)} MB`
}

function escapeCell(text: string | undefined): string {
  return (text ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ')
}
