// The parts of undici that are loaded one by one have no types of their own; these are theirs, by way of its index.
declare module 'undici/lib/dispatcher/agent.js' {
  import { Agent } from 'undici'
  export = Agent
}
declare module 'undici/lib/dispatcher/proxy-agent.js' {
  import { ProxyAgent } from 'undici'
  export = ProxyAgent
}
declare module 'undici/lib/dispatcher/dispatcher.js' {
  import { Dispatcher } from 'undici'
  export = Dispatcher
}
declare module 'undici/lib/api/index.js' {
  const api: Record<'request' | 'connect', (...args: unknown[]) => unknown>
  export = api
}
declare module 'undici/lib/web/fetch/index.js' {
  import { fetch } from 'undici'

  const api: { fetch: typeof fetch }
  export = api
}
