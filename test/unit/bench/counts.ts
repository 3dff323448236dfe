// SPDX-License-Identifier: MIT
import type { LeftoverCounts } from '../../../bench/job.ts'

/** What a process has of its own and around it, before anything is measured. */
export const kCounts: LeftoverCounts = {
  residentBytes: 50e6,
  helperResidentBytes: 0,
  descendants: 1,
  fds: 20,
  helperFds: 5,
  mounts: 30,
  cgroups: 9,
  directories: 4,
  namespaces: 8,
}
