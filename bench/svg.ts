// SPDX-License-Identifier: MIT
import { formatMs } from './table.ts'

/** One row of a plot: a bar from `low` to `high` with a mark at `middle`, all > 0. */
export interface PlotRow {
  label: string
  low: number
  middle: number
  high: number
  highlight?: boolean
}

/** Rows under one heading. */
export interface PlotGroup {
  title: string
  rows: readonly PlotRow[]
}

/** A whole picture; the groups share one logarithmic axis. */
export interface Plot {
  title: string
  unit: string
  groups: readonly PlotGroup[]
  footer: string
}

const kWidth = 860
const kLeft = 190
const kRight = 90
const kRowHeight = 24
const kHeadingHeight = 34
const kTop = 56

/** Draws intervals on a logarithmic axis as a stand-alone SVG document. */
export function renderPlot(plot: Plot): string {
  const rows = plot.groups.flatMap((group) => group.rows)
  const axis = logAxis(rows.flatMap((row) => [row.low, row.high]))
  const bottom = kTop + plot.groups.reduce((sum, group) => sum + kHeadingHeight + group.rows.length * kRowHeight, 0)
  const height = bottom + 60
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${kWidth}" height="${height}" viewBox="0 0 ${kWidth} ${height}" ` +
      'font-family="system-ui, sans-serif" font-size="13" fill="#1f2933">',
    `<rect width="${kWidth}" height="${height}" fill="#ffffff"/>`,
    `<text x="20" y="30" font-size="17" font-weight="600">${escapeXml(plot.title)}</text>`,
    ...renderAxis(axis, bottom, plot.unit),
    ...renderGroups(plot.groups, axis),
    `<text x="20" y="${height - 12}" font-size="11" fill="#6b7785">${escapeXml(plot.footer)}</text>`,
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

/** Where a value stands on the axis, in pixels from the left of the picture. */
interface LogAxis {
  ticks: number[]
  x(value: number): number
}

/** Chooses whole decades around the values. */
export function logAxis(values: readonly number[]): LogAxis {
  const usable = values.filter((value) => Number.isFinite(value) && value > 0)
  const first = Math.floor(Math.log10(Math.min(...usable, ...(usable.length === 0 ? [1] : []))))
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...usable, 10 ** first))))
  const ticks: number[] = []
  for (let decade = first; decade <= last; decade++) ticks.push(10 ** decade)
  const span = kWidth - kLeft - kRight
  return { ticks, x: (value) => kLeft + ((Math.log10(value) - first) / (last - first)) * span }
}

function renderAxis(axis: LogAxis, bottom: number, unit: string): string[] {
  return axis.ticks.flatMap((tick) => {
    const x = round(axis.x(tick))
    return [
      `<line x1="${x}" y1="${kTop}" x2="${x}" y2="${bottom}" stroke="#d9dfe5"/>`,
      `<text x="${x}" y="${bottom + 18}" text-anchor="middle" fill="#6b7785">${tick} ${escapeXml(unit)}</text>`,
    ]
  })
}

function renderGroups(groups: readonly PlotGroup[], axis: LogAxis): string[] {
  const parts: string[] = []
  let y = kTop
  for (const group of groups) {
    parts.push(`<text x="20" y="${y + 22}" font-weight="600">${escapeXml(group.title)}</text>`)
    y += kHeadingHeight
    for (const row of group.rows) {
      parts.push(...renderRow(row, axis, y))
      y += kRowHeight
    }
  }
  return parts
}

function renderRow(row: PlotRow, axis: LogAxis, top: number): string[] {
  const colour = row.highlight ? '#c2410c' : '#51708f'
  const middleY = top + kRowHeight / 2
  const [low, middle, high] = [axis.x(row.low), axis.x(row.middle), axis.x(row.high)].map(round) as [
    number,
    number,
    number,
  ]
  return [
    `<text x="${kLeft - 12}" y="${middleY + 4}" text-anchor="end">${escapeXml(row.label)}</text>`,
    `<rect x="${low}" y="${middleY - 4}" width="${round(Math.max(1, high - low))}" height="8" rx="4" fill="${colour}" opacity="0.35"/>`,
    `<circle cx="${middle}" cy="${middleY}" r="5" fill="${colour}"/>`,
    `<text x="${round(high + 10)}" y="${middleY + 4}" font-size="12" fill="${colour}">${formatMs(row.middle)}</text>`,
  ]
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
