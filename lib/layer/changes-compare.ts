// SPDX-License-Identifier: MIT
import type { FoundEntry } from './pack-entry.ts'

const kCapabilityXattr = 'security.capability'

/**
 * Whether a thing of a container counts as modified beside what its image has there, by Docker's rules: kind, permissions,
 * owner, device number and file capabilities; and, but for directories, size and time. A file that was copied up and is as
 * before does not count. Other attributes do not count either.
 */
export function isDifferent(before: FoundEntry, after: FoundEntry): boolean {
  if (before.kind !== after.kind || before.mode !== after.mode) return true
  if (before.uid !== after.uid || before.gid !== after.gid) return true
  if (before.deviceMajor !== after.deviceMajor || before.deviceMinor !== after.deviceMinor) return true
  if (!sameCapability(before, after)) return true
  return after.kind !== 'directory' && (before.sizeBytes !== after.sizeBytes || !sameTime(before, after))
}

/** Where one side has no fraction of a second, it may have been lost on the way. */
function sameTime(before: FoundEntry, after: FoundEntry): boolean {
  if (before.seconds !== after.seconds) return false
  return before.nanoseconds === after.nanoseconds || before.nanoseconds === 0 || after.nanoseconds === 0
}

function sameCapability(before: FoundEntry, after: FoundEntry): boolean {
  const [old, now] = [before, after].map(({ xattrs }) => xattrs.find(([name]) => name === kCapabilityXattr)?.[1])
  return old === undefined || now === undefined ? old === now : old.equals(now)
}
