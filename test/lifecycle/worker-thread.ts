// SPDX-License-Identifier: MIT
// Runs in a worker thread: an engine of its own. Tells its launcher and session, then a result, then runs until terminated.
import { parentPort, workerData } from 'node:worker_threads'
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'

const { root, marker } = workerData as { root: string; marker: string }
const engine = await Engine.open({ root })
const { stdout } = await Container.run('fault', ['/bin/echo', 'from a worker'], { engine })
const { launcher } = await engine.runtime()
parentPort?.postMessage({ stdout, launcher: launcher.pid, session: engine.store.session.id })
if (marker === '') await engine.close()
else if (marker === 'busy') for (;;) await Container.run('fault', ['/bin/echo', 'again'], { engine })
else await Container.run('fault', ['/bin/sh', '-c', `: ${marker}; /bin/sleep 60 & wait`], { engine, reject: false })
