import { dockerConfigPath, lookUp, podmanAuthPaths, readCredentialFile } from './credential-files.ts'
import { askHelper } from './credential-helper.ts'
import type { CredentialStore, RegistryAuth } from './credentials.ts'
import type { RegistryHost } from './hosts.ts'

/**
 * The credentials stored on this machine: Docker's config.json (with its helpers), then podman's auth.json.
 *
 * Files are read each time, as logins happen while a program runs.
 */
export class HostCredentials implements CredentialStore {
  readonly #paths: readonly string[]

  constructor(paths: readonly string[] = [dockerConfigPath(), ...podmanAuthPaths()]) {
    this.#paths = paths
  }

  async find(host: RegistryHost, repository: string | undefined, signal?: AbortSignal): Promise<RegistryAuth> {
    for (const file of this.#paths) {
      const content = await readCredentialFile(file)
      const answer = content === undefined ? undefined : lookUp(content, host.name, repository)
      if (answer === undefined) continue
      if ('auth' in answer) return answer.auth
      const auth = await askHelper(answer.helper, answer.server, signal)
      if (auth !== undefined) return auth
    }
    return 'anonymous'
  }
}
