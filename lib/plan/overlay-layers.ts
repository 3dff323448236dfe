// SPDX-License-Identifier: MIT
import { UnsupportedHostError } from '../errors.ts'

/** Most layers of an image that runs: the kernel's 500 (OVL_MAX_STACK) without that of mount points and generated files. */
export const kMaxImageLayers = 499

/**
 * The layers of an image as an overlay takes them, the uppermost first. An image may have one layer at several places, which
 * overlay refuses; the lower ones show nothing that the uppermost does not show.
 *
 * @param layers - paths or digests, oldest first
 * @throws {UnsupportedHostError} for more than {@link kMaxImageLayers}
 */
export function overlayLayers(layers: readonly string[]): string[] {
  const distinct = [...new Set(layers.toReversed())]
  if (distinct.length <= kMaxImageLayers) return distinct
  throw new UnsupportedHostError(
    `images of more than ${kMaxImageLayers} layers`,
    `overlay takes 500, one of them is for mount points and generated files, and this image has ${distinct.length}`,
    'build it with fewer layers, by joining RUN steps or by squashing it.',
  )
}
