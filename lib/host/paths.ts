import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/**
 * The state directory where the caller names none: `/var/lib/wherry` as root, else `$XDG_DATA_HOME/wherry`, else
 * `~/.local/share/wherry`. A relative `XDG_DATA_HOME` is ignored, as its specification says.
 *
 * @source https://specifications.freedesktop.org/basedir-spec/0.8/
 */
export function defaultRoot(facts: {
  uid: number
  env: Readonly<Record<string, string | undefined>>
  home?: string
}): string {
  if (facts.uid === 0) return '/var/lib/wherry'
  const dataHome = facts.env.XDG_DATA_HOME
  if (dataHome !== undefined && isAbsolute(dataHome)) return join(dataHome, 'wherry')
  return join(facts.home ?? facts.env.HOME ?? homedir(), '.local/share/wherry')
}
