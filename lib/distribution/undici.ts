import type { Agent, Dispatcher, ProxyAgent } from 'undici'

/** The constructors of undici that are used here. */
export interface Undici {
  readonly Agent: typeof Agent
  readonly ProxyAgent: typeof ProxyAgent
}

/**
 * Loads undici's agents, when they are first needed.
 *
 * Part by part, since its index does two things that a library must not: it becomes the dispatcher of the program's own global
 * `fetch`, and it takes three times as long to load.
 */
export async function loadUndici(): Promise<Undici> {
  const [agent, proxyAgent, dispatcher, api] = await Promise.all([
    import('undici/lib/dispatcher/agent.js'),
    import('undici/lib/dispatcher/proxy-agent.js'),
    import('undici/lib/dispatcher/dispatcher.js'),
    import('undici/lib/api/index.js'),
  ])
  // What the index does to give dispatchers their methods `request` and `connect`.
  Object.assign((dispatcher.default as typeof Dispatcher).prototype, api.default)
  return { Agent: agent.default, ProxyAgent: proxyAgent.default }
}
