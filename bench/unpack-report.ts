// SPDX-License-Identifier: MIT
import { formatAbsence, formatContests } from './contest-report.ts'
import type { UnpackResult } from './job.ts'
import { kUnpackNames } from './p3-names.ts'

/** The most that unpacking may take, as a multiple of GNU tar's time: of tar that leaves writing to the kernel. */
export const kUnpackLimits = { [kUnpackNames.tar]: 1 }

/** Writes the answer to an `unpack` job as a titled table: medians. */
export function formatUnpack(result: UnpackResult): string {
  const title = [
    'P3, layers unpacked by GNU tar and by wherry, which checks the digests of both forms.',
    'Neither waits for the disk: a store marks such layers, and syncs once for all. The target is judged by that pair.',
  ]
  const groups = result.rows.map(({ layers, place, ...row }) => ({
    labels: [layers, place],
    ours: kUnpackNames.ours,
    limits: kUnpackLimits,
    ...row,
  }))
  return `${title.join('\n')}\n\n${formatContests(['layers', 'place'], groups)}${formatAbsence(result)}`
}
