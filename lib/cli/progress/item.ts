// SPDX-License-Identifier: MIT
import type { ImageProgress, PullProgress, PushProgress } from '../../index.ts'
import { shortId } from '../format/names.ts'

/** One thing under way, such as a layer, as it stands now. */
export interface ProgressItem {
  /** What the thing is known by. */
  readonly key: string
  /** What a person sees: the start of a digest, or what is done. */
  readonly label: string
  /** Such as `Downloading`. */
  readonly state: string
  readonly bytes: number
  /** `undefined` while it is not known. */
  readonly totalBytes: number | undefined
  /** Whether nothing more will be heard of it. */
  readonly isFinished: boolean
}

const kPullStates = {
  exists: 'Already exists',
  downloading: 'Downloading',
  unpacking: 'Extracting',
  done: 'Pull complete',
} as const

const kPushStates = {
  uploading: 'Pushing',
  uploaded: 'Pushed',
  exists: 'Already exists',
  mounted: 'Mounted from another repository',
} as const

const kArchiveStates = { reading: 'Reading', unpacking: 'Extracting', writing: 'Writing' } as const

/** @returns nothing for what concerns the image as a whole. */
export function pullItem({ phase, digest, bytes, totalBytes, layer }: PullProgress): ProgressItem | undefined {
  if (layer === undefined || digest === undefined || phase === 'resolving') return undefined
  const isFinished = phase === 'done' || phase === 'exists'
  return { key: digest, label: shortId(digest), state: kPullStates[phase], bytes, totalBytes, isFinished }
}

/** @returns nothing for what concerns the image as a whole. */
export function pushItem({ phase, digest, bytes, totalBytes }: PushProgress): ProgressItem | undefined {
  if (phase === 'done') return undefined
  const isFinished = phase !== 'uploading'
  return { key: digest, label: shortId(digest), state: kPushStates[phase], bytes, totalBytes, isFinished }
}

/** @param label - what the archive is called. */
export function archiveItem(
  label: string,
  { phase, bytes, totalBytes, layer }: ImageProgress,
): ProgressItem | undefined {
  if (phase === 'done') return undefined
  const count = layer === undefined ? '' : ` layer ${layer.position + 1} of ${layer.count}`
  return { key: label, label, state: `${kArchiveStates[phase]}${count}`, bytes, totalBytes, isFinished: false }
}
