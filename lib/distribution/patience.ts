// SPDX-License-Identifier: MIT
import { kMaxTimerMs } from '../options/checks.ts'

const kTimes = 10

/**
 * How long an answer may take as a whole, and how long a registry may digest and move what it got before it answers, in milliseconds:
 * many times the longest pause between two bytes.
 */
export function longPatienceMs(stallTimeoutMs: number): number {
  return Math.min(kTimes * stallTimeoutMs, kMaxTimerMs)
}
