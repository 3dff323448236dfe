// SPDX-License-Identifier: MIT
// A process that works with containers of a root: `node lasting-process.js ROOT COMMAND ARG…`. Each command prints what it found as
// one line of JSON; `own` then waits to be killed or for the end of its standard input.
import { Container } from '../../lib/container.ts'
import { Engine } from '../../lib/engine.ts'
import { WherryError } from '../../lib/errors.ts'

const [root = '', command = '', ...args] = process.argv.slice(2)
const engine = await Engine.open({ root, prepared: 0 })

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** Starts containers that say "ready" and end with 7 at SIGTERM: `NAME:attached` or `NAME:detached`, each with `:auto` behind. */
async function own(names: readonly string[]): Promise<void> {
  const { launcher } = await engine.runtime()
  const started: { name: string; id: string; pid: number | null }[] = []
  for (const each of names) {
    const [name = '', kind, auto] = each.split(':')
    const detached = kind === 'detached'
    const options = { engine, name, detached, autoRemove: auto === 'auto', memory: '64m' }
    const container = await Container.start('fault', { ...options, command: ['/probe', 'trap', '15', '7'] })
    for await (const _ of container.logs({ follow: true })) break
    started.push({ name, id: container.id, pid: (await container.inspect()).pid })
  }
  say({ launcher: launcher.pid, session: engine.store.session.id, started })
}

async function endOfInput(): Promise<void> {
  process.stdin.resume()
  await new Promise((resolve) => process.stdin.once('end', resolve))
}

/** Does every operation in turn on a container until it is told to stop; only typed errors are no surprise. */
async function race(name: string, count: number, seed: number): Promise<void> {
  const outcomes: Record<string, number> = {}
  let state = seed
  const random = (bound: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 16) % bound
  }
  const operations: [string, (container: Container) => Promise<unknown>][] = [
    ['start', (container) => container.start()],
    ['stop', (container) => container.stop({ timeoutMs: 10 })],
    ['kill', (container) => container.kill()],
    ['pause', (container) => container.pause()],
    ['resume', (container) => container.resume()],
    ['rename', (container) => container.rename(random(2) === 0 ? name : `${name}-other`)],
    ['inspect', (container) => container.inspect()],
    ['list', () => Container.list({ engine, all: true })],
    ['remove', (container) => container.remove({ force: random(2) === 0 })],
    ['start', (container) => container.start()],
    ['restart', (container) => container.restart({ timeoutMs: 10 })],
    ['wait', (container) => container.wait({ signal: AbortSignal.timeout(5) })],
  ]
  for (let turn = 0; turn < count; turn++) {
    const [operation, work] = operations[random(operations.length)] ?? ['none', async () => undefined]
    let outcome = 'ok'
    try {
      await work(await theContainer(name))
    } catch (error) {
      const isTyped = error instanceof WherryError || (error as Error).name === 'TimeoutError'
      if (!isTyped) say({ unexpected: operation, error: String((error as Error).stack ?? error) })
      outcome = error instanceof WherryError ? error.name : String((error as Error).name)
      // A lock that is not given back would be told so.
      if (error instanceof WherryError && error.code === 'ERR_TIMEOUT')
        say({ unexpected: operation, error: error.message })
    }
    outcomes[`${operation} ${outcome}`] = (outcomes[`${operation} ${outcome}`] ?? 0) + 1
  }
  say({ outcomes })
}

async function theContainer(name: string): Promise<Container> {
  const [found] = await Container.list({ engine, all: true, filters: { name } })
  if (found !== undefined) return Container.get(found.id, { engine })
  return Container.create('fault', { engine, name, detached: true, command: ['/probe', 'trap', '15', '7'] })
}

/** Creates, starts, stops, pauses, renames, restarts, kills and removes containers for as long as it lives; half of them detached. */
async function churn(name: string): Promise<never> {
  const { launcher } = await engine.runtime()
  say({ launcher: launcher.pid, session: engine.store.session.id })
  for (let turn = 0; ; turn++) {
    const detached = turn % 2 === 0
    const container = await Container.create('fault', {
      engine,
      name: `${name}-${turn}`,
      detached,
      memory: '64m',
      command: ['/bin/sh', '-c', `: ${name}; trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done`],
    })
    try {
      await container.start()
      if (turn % 3 === 2) await container.stop({ timeoutMs: 20 })
      else {
        await container.pause()
        await container.rename(`${name}-${turn}-renamed`)
        await container.resume()
        await container.restart({ timeoutMs: 20 })
        await container.kill()
        await container.wait()
      }
      await container.start()
      await container.remove({ force: true })
    } catch (error) {
      // Somebody kills parts of us: then an operation fails, and says so in a typed error.
      if (!(error instanceof WherryError)) say({ unexpected: String((error as Error).stack) })
      if ((error as WherryError).code === 'ERR_LAUNCHER_GONE') process.exit(0)
    }
  }
}

if (command === 'own') {
  await own(args)
  await endOfInput()
  await engine.close()
} else if (command === 'race') {
  await race(args[0] ?? '', Number(args[1]), Number(args[2]))
  await engine.close()
} else if (command === 'churn') {
  await churn(args[0] ?? '')
} else {
  const container = await Container.get(args[0] ?? '', { engine })
  if (command === 'stop') await container.stop()
  if (command === 'pause') await container.pause()
  if (command === 'resume') await container.resume()
  if (command === 'kill') await container.kill(args[1])
  if (command === 'remove') await container.remove({ force: args[1] === 'force' })
  if (command === 'logs' || command === 'follow') {
    for await (const { line } of container.logs({ follow: command === 'follow' })) say(line)
  } else if (command === 'wait') say(await container.wait())
  else if (command !== 'remove') say(await container.inspect())
  await engine.close()
}
