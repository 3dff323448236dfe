// SPDX-License-Identifier: MIT
// Takes a snapshot of a container, to be killed over it: node template-process.js <root> <container>
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'

const [root = '', id = ''] = process.argv.slice(2)
const engine = await Engine.open({ root })
const container = await Container.get(id, { engine })
await container.snapshot()
await engine.close()
