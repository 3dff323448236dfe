// SPDX-License-Identifier: MIT
import type { MountOptions, RunOptions, UlimitOptions } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'
import { parseMount, parseTmpfs, parseVolume } from './mount-flags.ts'
import type { RunFlags } from './run-flags.ts'

/** What flags name, read already. */
export interface RunFiles {
  readonly env: Readonly<Record<string, string>>
  /** Text of the profile that `--security-opt seccomp=FILE` names. */
  readonly seccomp: string | undefined
  readonly cwd: string
}

/**
 * Turns Docker's flags into the library's options, which checks them. Pure.
 *
 * @throws {CliError} naming the flag, for what the library would not understand.
 */
export function toRunOptions(flags: RunFlags, files: RunFiles): RunOptions {
  const options: RunOptions = {
    env: files.env,
    cwd: flags.workdir,
    user: flags.user,
    groups: flags.groupAdd,
    entrypoint: flags.entrypoint,
    name: flags.name,
    labels: flags.label === undefined ? undefined : Object.fromEntries(flags.label.map((text) => splitPair(text))),
    hostname: flags.hostname,
    tty: flags.tty,
    init: flags.init,
    readOnly: flags.readOnly,
    mounts: mountsOf(flags, files.cwd),
    timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
    shmSize: flags.shmSize,
    ...limitsOf(flags),
    ...isolationOf(flags, files.seccomp),
  }
  // The library tells `undefined` from absent nowhere, and messages are shorter without.
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function mountsOf({ volume = [], mount = [], tmpfs = [] }: RunFlags, cwd: string): MountOptions[] | undefined {
  const mounts: MountOptions[] = [
    ...volume.map((text) => parseVolume(text, cwd)),
    ...mount.map((text) => parseMount(text, cwd)),
    ...tmpfs.map(parseTmpfs),
  ]
  return mounts.length === 0 ? undefined : mounts
}

function limitsOf(flags: RunFlags): RunOptions {
  return {
    memory: flags.memory,
    memorySwap: flags.memorySwap,
    memoryReservation: flags.memoryReservation,
    cpus: flags.cpus,
    // Docker's 0 stands for the default, or for no limit.
    cpuShares: flags.cpuShares === 0 ? undefined : flags.cpuShares,
    cpuset: flags.cpusetCpus,
    pids: flags.pidsLimit === 0 ? -1 : flags.pidsLimit,
    ulimits: flags.ulimit === undefined ? undefined : Object.fromEntries(flags.ulimit.map(parseUlimit)),
    oomScoreAdj: flags.oomScoreAdj,
    limits: flags.limits,
  }
}

function isolationOf(flags: RunFlags, seccompText: string | undefined): RunOptions {
  const { capAdd, capDrop, network, publish, userns, privileged, dns, sysctl, addHost, securityOpt = [] } = flags
  return {
    capabilities: capAdd === undefined && capDrop === undefined ? undefined : { add: capAdd, drop: capDrop },
    network,
    ports: publish,
    userns,
    privileged,
    dns,
    sysctls: sysctl === undefined ? undefined : Object.fromEntries(sysctl.map((text) => splitPair(text, 'sysctl'))),
    extraHosts: addHost === undefined ? undefined : Object.fromEntries(addHost.map(parseHost)),
    ...securityOf(securityOpt, seccompText),
  }
}

/** Name of the file that `--security-opt seccomp=…` wants to be read, if there is one. */
export function seccompFile({ securityOpt = [] }: RunFlags): string | undefined {
  const profile = securityOpt.map((option) => splitSecurity(option)).findLast(([name]) => name === 'seccomp')?.[1]
  return profile === undefined || isSeccompWord(profile) ? undefined : profile
}

function isSeccompWord(profile: string): profile is 'unconfined' | 'default' | 'builtin' {
  return ['unconfined', 'default', 'builtin'].includes(profile)
}

function securityOf(securityOpt: readonly string[], seccompText: string | undefined): RunOptions {
  const options: RunOptions = {}
  for (const option of securityOpt) {
    const [name, value] = splitSecurity(option)
    if (name === 'seccomp') options.seccomp = isSeccompWord(value) ? seccompWord(value) : profileOf(seccompText, value)
    else if (name === 'no-new-privileges') options.noNewPrivileges = value === '' || value === 'true'
    // There is neither for containers of wherry, so that to want none is to have it.
    else if (option !== 'label=disable' && option !== 'label:disable' && !/^apparmor[=:]unconfined$/.test(option)) {
      throw new CliError(`'--security-opt ${option}' is not supported.`, {
        exitCode: kFlagError,
        hint: 'there are seccomp and no-new-privileges',
      })
    }
  }
  return options
}

function splitSecurity(option: string): [name: string, value: string] {
  const at = option.search(/[=:]/)
  return at < 0 ? [option, ''] : [option.slice(0, at), option.slice(at + 1)]
}

function seccompWord(word: 'unconfined' | 'default' | 'builtin'): 'unconfined' | 'default' {
  return word === 'unconfined' ? word : 'default'
}

function profileOf(text: string | undefined, file: string): Exclude<RunOptions['seccomp'], undefined> {
  try {
    return JSON.parse(text ?? '')
  } catch {
    throw new CliError(`The seccomp profile ${file} is not JSON.`, { exitCode: kFlagError })
  }
}

function parseUlimit(text: string): [string, UlimitOptions] {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/i.exec(text)
  if (match === null) {
    throw new CliError(`Invalid value '${text}' of '--ulimit': it is not name=soft or name=soft:hard.`, {
      exitCode: kFlagError,
    })
  }
  const [, name = '', soft = '', hard = soft] = match
  return [name, { soft: Number(soft), hard: Number(hard) }]
}

/** `name:address`, where the address may have colons itself, in brackets or not. */
function parseHost(text: string): [string, string] {
  const [, name = '', address = ''] = /^([^:=]+)[:=]\[?(.+?)\]?$/.exec(text) ?? []
  if (name === '') {
    throw new CliError(`Invalid value '${text}' of '--add-host': it is not name:address.`, { exitCode: kFlagError })
  }
  return [name, address]
}

/** Takes `name=value` apart. @param flag - needs a value; without it, what has none has an empty one. */
export function splitPair(text: string, flag?: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals >= 0) return [text.slice(0, equals), text.slice(equals + 1)]
  if (flag === undefined) return [text, '']
  throw new CliError(`Invalid value '${text}' of '--${flag}': it is not name=value.`, { exitCode: kFlagError })
}
