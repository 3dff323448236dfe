// SPDX-License-Identifier: MIT
import { formatAbsence, formatContests } from './contest-report.ts'
import type { TransferResult, TransferRow } from './job.ts'
import { kAtOnce, kPullNames, kPushNames } from './p3-names.ts'
import { summarize } from './statistics.ts'
import { formatMs } from './table.ts'

/** For each kind of work: which subject is ours, and the most that it may take, as a multiple of a peer's time. */
export const kTransferRules = {
  pull: { ours: kPullNames.ours, limits: { [kPullNames.podman]: 0.5, [kPullNames.tar]: 1 } },
  push: { ours: kPushNames.ours, limits: { [kPushNames.skopeo]: 1 } },
} as const

/** Writes the answer to a `transfer` job as a titled table: medians, and how long our event loop did not turn. */
export function formatTransfer(result: TransferResult): string {
  const title = [
    `P3, a registry on loopback. Pulls end with files that can be run; tar unpacks local copies, ${kAtOnce} at once, no network.`,
    'Pushes go to a registry that has nothing. A pull of wherry ends with its blobs on the disk, and its layers marked until they are.',
  ]
  const groups = result.rows.map(({ work, image, contenders }) => ({
    labels: [image],
    contenders,
    ...kTransferRules[work],
  }))
  const notes = result.rows.filter(({ kept }) => !kept).map(crampedNote)
  const delays = [...notes, ...result.rows.map(delayNote)].join('\n')
  const idle =
    result.idle === undefined ? '' : ` (idle: ${formatMs(result.idle.p99)} ms, 1 ms of sampling is in all of them)`
  const loops = delays === '' ? '' : `\n\n${delays}${idle}`
  return `${title.join('\n')}\n\n${formatContests(['image'], groups)}${loops}${formatAbsence(result)}`
}

function crampedNote({ work, image }: TransferRow): string {
  return `- ${work} of ${image}: no room to keep what the trials made; removing it slowed down the next, whichever it was`
}

function delayNote({ work, image, contenders }: TransferRow): string {
  const ours = contenders.find(({ name }) => name === kTransferRules[work].ours)
  const { median } = summarize((ours?.loops ?? []).map(({ p99 }) => p99))
  return `- event loop, ${work} of ${image}: p99 ${formatMs(median)} ms (median of the trials)`
}
