// SPDX-License-Identifier: MIT
// Timers of Node that are set to more than 2^31-1 milliseconds go off at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stopSettings } from '../../../lib/container-management.ts'
import { connectTo } from '../../../lib/container-reach.ts'
import { takeWaitFor, waitForIn } from '../../../lib/container-wait.ts'
import { RegistryClient } from '../../../lib/distribution/registry-client.ts'
import type { Engine } from '../../../lib/engine.ts'
import { checkHealth } from '../../../lib/options/health-options.ts'
import { normalizeContainerOptions } from '../../../lib/options/normalize-container-options.ts'
import { normalizeServerOptions } from '../../../lib/registry-server/options.ts'

const kTooLong = [2 ** 31, Number.POSITIVE_INFINITY, Number.NaN, -1]

/** Nothing may be asked of it before the options are checked. */
const engine = {} as Engine

const uses: Record<string, (ms: number) => unknown> = {
  'run timeoutMs': (timeoutMs) => normalizeContainerOptions(['true'], { timeoutMs }),
  'run stopTimeoutMs': (stopTimeoutMs) => normalizeContainerOptions(['true'], { stopTimeoutMs }),
  'health health.timeoutMs': (timeoutMs) => checkHealth({ timeoutMs }),
  'health health.intervalMs': (intervalMs) => checkHealth({ intervalMs }),
  'health health.startPeriodMs': (startPeriodMs) => checkHealth({ startPeriodMs }),
  'stop timeoutMs': (timeoutMs) => stopSettings(engine, 'x', { timeoutMs }),
  'waitFor timeoutMs': (timeoutMs) => waitForIn(engine, 'x', { port: 1 }, { timeoutMs }),
  'start waitTimeoutMs': (waitTimeoutMs) => takeWaitFor({ waitTimeoutMs }),
  'connect timeoutMs': (timeoutMs) => connectTo(engine, 'x', 1, { timeoutMs }),
  'pull stallTimeoutMs': (stallTimeoutMs) => new RegistryClient('docker.io', { stallTimeoutMs }),
  'serve idleTimeoutMs': (idleTimeoutMs) => normalizeServerOptions({ idleTimeoutMs }),
}

for (const [name, use] of Object.entries(uses)) {
  const option = name.slice(name.indexOf(' ') + 1)
  test(`${name} is a time that a timer can be set to`, async () => {
    for (const ms of kTooLong) {
      await assert.rejects(async () => await use(ms), { name: 'InvalidOptionError', option }, String(ms))
    }
  })
}
