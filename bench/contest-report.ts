// SPDX-License-Identifier: MIT
import type { Absence, ContenderResult } from './job.ts'
import { pairedRatio, summarize } from './statistics.ts'
import { type Column, formatInterval, formatMs, formatRatio, formatTable } from './table.ts'

/** A group of lines of one table: the same work by several subjects. */
export interface ContestLines extends Absence {
  /** First cells of each line: what was done. */
  labels: readonly string[]
  contenders: readonly ContenderResult[]
  /** The subject that is ours. */
  ours: string
  /** For each peer that a target is judged by, the most that ours may take, as a multiple. */
  limits: Readonly<Record<string, number>>
}

const kFigures = ['runs', 'median ms', 'min ms', `wherry / it`, '95 %', 'target']

/** Writes contests as one table: medians, ratios, which ratio has a target, and below it why a subject is missing. */
export function formatContests(titles: readonly string[], groups: readonly ContestLines[]): string {
  const columns: Column[] = [
    ...[...titles, 'subject'].map((title): Column => ({ title, align: 'left' })),
    ...kFigures.map((title): Column => ({ title, align: 'right' })),
  ]
  const notes = groups.flatMap(notesOf).map((note) => `- ${note}`)
  return [formatTable(columns, groups.flatMap(linesOf)), notes.join('\n')].filter(Boolean).join('\n\n')
}

function linesOf({ labels, contenders, ours, limits, ...absence }: ContestLines): string[][] {
  if (reasonOf(absence) !== undefined) return [[...labels, '', 'not measured']]
  const own = samplesOf(contenders, ours)
  return contenders.map(({ name, samples }) => {
    if (samples.length === 0) return [...labels, name, 'not measured']
    const { count, median, min } = summarize(samples.map(({ ms }) => ms))
    const ratio = name === ours ? undefined : pairedRatio(own, samples)
    const limit = limits[name]
    return [
      ...labels,
      name,
      String(count),
      ...[median, min].map(formatMs),
      formatRatio(ratio?.ratio ?? Number.NaN),
      formatInterval(ratio),
      limit === undefined ? '' : `≤ ${limit} ×`,
    ]
  })
}

function notesOf({ labels, contenders, ...absence }: ContestLines): string[] {
  const work = labels.join(', ')
  const whole = reasonOf(absence)
  if (whole !== undefined) return [`${work}: not measured: ${whole}`]
  return contenders.flatMap((contender) => {
    const reason = reasonOf(contender)
    return reason === undefined ? [] : [`${work}: ${contender.name} not measured: ${reason}`]
  })
}

/** The samples of one subject; none when it is not there. */
export function samplesOf(contenders: readonly ContenderResult[], name: string): ContenderResult['samples'] {
  return contenders.find((contender) => contender.name === name)?.samples ?? []
}

/** Why there are no figures; undefined when there are. */
export function reasonOf({ failed, skipped }: Absence): string | undefined {
  return failed !== undefined ? `it failed: ${failed}` : skipped
}

/** The line of a subject without figures. */
export function absentRow(name: string): string[] {
  return [name, 'not measured']
}

/** Says below a table why a subject is not in it. */
export function absenceNotes(subjects: readonly ({ name: string } & Absence)[]): string {
  const notes = subjects.flatMap(({ name, ...absence }) => {
    const reason = reasonOf(absence)
    return reason === undefined ? [] : [`- ${name} not measured: ${reason}`]
  })
  return notes.length === 0 ? '' : `\n\n${notes.join('\n')}`
}

/** Says below a section that the whole part is missing. */
export function formatAbsence(absence: Absence): string {
  const reason = reasonOf(absence)
  return reason === undefined ? '' : `\n\n- not measured: ${reason}`
}
