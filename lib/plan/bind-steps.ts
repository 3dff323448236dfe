// SPDX-License-Identifier: MIT
import type { RuntimeMount } from '../oci/runtime-spec.ts'
import { parseMountWords } from './mount-words.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'

/** O_PATH is the same on all architectures. */
const kOpenPath = 0o10000000

/**
 * Builds the steps of a bind mount for a child that opens its source itself.
 *
 * @param statePath - is out of sight below the host's root, where the staging file system covers it; its slot leads there
 */
export function bindSteps({ source = '', destination, options }: RuntimeMount, statePath: string | null): Step[] {
  const { attr, recursive, propagation, subpath } = parseMountWords(options)
  const isState = statePath !== null && source.startsWith(`${statePath}/`)
  const [slot, path] = isState ? [kSlot.state, source.slice(statePath.length + 1)] : [kSlot.hostRoot, source.slice(1)]
  const bind = (from: number, what: string): Step =>
    step(
      'bind',
      `bind ${source} to ${destination}`,
      [from, kSlot.root, recursive ? 1 : 0, attr, -1, propagation],
      [what, destination],
    )
  if (subpath === '') return [bind(slot, path)]
  return [
    step('open', `open ${source}`, [kSlot.scratch, slot, kOpenPath, 0], [path]),
    step('open', `open ${subpath} of ${source}`, [kSlot.subpath, kSlot.scratch, kOpenPath, 0], [subpath]),
    bind(kSlot.subpath, ''),
    ...[kSlot.scratch, kSlot.subpath].map((each) => step('close', `let go of ${source}`, [each])),
  ]
}
