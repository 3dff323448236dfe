// SPDX-License-Identifier: MIT
// The subjects of P3 as tables and results name them.

/** How many layers are pulled, pushed and unpacked at once, by the library and by GNU tar: what a pull does by default. */
export const kAtOnce = 3

export const kUnpackNames = {
  ours: 'wherry',
  oursSynced: 'wherry, synced',
  tar: 'GNU tar',
  tarSynced: 'GNU tar, sync -f',
} as const

export const kPullNames = {
  ours: 'wherry pull',
  podman: 'podman pull (overlay)',
  skopeo: 'skopeo copy, umoci raw unpack',
  tar: 'GNU tar of the layers',
  tarSynced: 'GNU tar of the layers, sync -f',
} as const

export const kPushNames = {
  ours: 'wherry push',
  skopeo: 'skopeo copy',
} as const
