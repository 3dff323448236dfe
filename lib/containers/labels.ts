// SPDX-License-Identifier: MIT
import type { ContainerRecord } from './record.ts'

/** Labels of the image and of the options. */
export function labelsOf({ imageConfig, options }: ContainerRecord): Readonly<Record<string, string>> {
  return { ...imageConfig.Labels, ...options.labels }
}
