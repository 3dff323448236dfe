// SPDX-License-Identifier: MIT

/**
 * Numbers of the descriptor slots that steps share. 0 to 15 come with the clone request, 16 to 31 are filled by steps, and
 * 32 to 63 come with the second plan.
 */
export const kSlot = {
  /** The state directory as a detached mount; layers and writable directories lie below it. Further lower layers follow. */
  state: 0,
  stage: 16,
  proc: 17,
  sys: 18,
  dev: 19,
  root: 20,
  pts: 21,
  scratch: 22,
  /** cgroup directory on a v2 mount, for CLONE_INTO_CGROUP. */
  unifiedCgroup: 23,
  /** The host's root directory, in a child that may only open it. */
  hostRoot: 24,
  /** The part of a bind mount's source that is shown. */
  subpath: 25,
  secondPlan: 32,
} as const

/** Highest number of descriptors that come with one plan. */
export const kMaxPlanFds = 32
