// SPDX-License-Identifier: MIT
import { setTimeout as delay } from 'node:timers/promises'
import { isNativeError } from '../launcher/fs-native.ts'

const kRoomTries = 500
const kRoomRetryMs = 10

/** The launcher's socket holds some requests only: on a machine under load the launcher may be late to take them. */
export async function whenThereIsRoom<T>(ask: () => T): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return ask()
    } catch (error) {
      if (!isNativeError(error, 'EAGAIN') || tries >= kRoomTries) throw error
      await delay(kRoomRetryMs)
    }
  }
}
