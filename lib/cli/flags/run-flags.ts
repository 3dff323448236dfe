// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import type { NetworkMode } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'
import { collect, parseDuration, parseInteger, parseNumber, parseSeconds } from './parsers.ts'
import { addRefusal } from './refusal.ts'
import { kUnsupported } from './unsupported.ts'

/** Flags of `wherry run` and `wherry create`, as commander gives them. */
export interface RunFlags {
  rm?: boolean
  interactive?: boolean
  tty?: boolean
  env?: string[]
  envFile?: string[]
  volume?: string[]
  mount?: string[]
  tmpfs?: string[]
  workdir?: string
  user?: string
  groupAdd?: string[]
  entrypoint?: string
  name?: string
  label?: string[]
  hostname?: string
  readOnly?: boolean
  memory?: string
  memorySwap?: string
  memoryReservation?: string
  cpus?: number
  cpuShares?: number
  cpusetCpus?: string
  pidsLimit?: number
  ulimit?: string[]
  oomScoreAdj?: number
  shmSize?: string
  capAdd?: string[]
  capDrop?: string[]
  privileged?: boolean
  securityOpt?: string[]
  userns?: 'auto' | 'host'
  sysctl?: string[]
  init?: boolean
  network?: NetworkMode
  publish?: string[]
  dns?: string[]
  addHost?: string[]
  stopSignal?: string
  stopTimeout?: number
  timeout?: number
  logOpt?: string[]
  restart?: string
  healthcheck?: boolean
  healthCmd?: string
  healthInterval?: number
  healthTimeout?: number
  healthRetries?: number
  healthStartPeriod?: number
  healthStartInterval?: number
  limits?: 'strict' | 'best-effort'
}

/** Adds Docker's flags to a command: those that the library has options for, and a refusal for the others. */
export function addRunFlags(command: Command): void {
  addProcessFlags(command)
  addFileFlags(command)
  addLimitFlags(command)
  addIsolationFlags(command)
  addHealthFlags(command)
  for (const [flags, reason] of kUnsupported) addRefusal(command, flags, reason)
}

function addProcessFlags(command: Command): void {
  command
    .option('-i, --interactive', 'give the container our standard input')
    .option('-t, --tty', 'give the container a terminal')
    .option('--rm', 'remove the container once it has ended; without -d that is always so')
    .option('-e, --env <name[=value]>', 'set a variable; NAME alone passes ours on; repeatable', collect)
    .option('--env-file <file>', 'set variables from lines of NAME=value; repeatable', collect)
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user[:group]>', 'names or ids')
    .option('--group-add <group>', 'further group; repeatable', collect)
    .option('--entrypoint <program>', "replaces the image's entrypoint; '' for none")
    .option('--name <name>', 'name to find it by (default: two words)')
    .option('-l, --label <key[=value]>', 'label to find it by; repeatable', collect)
    .option('-h, --hostname <name>', 'host name inside')
    .option('--init', 'run a small first process that passes signals on and reaps orphans')
    .option('--stop-signal <signal>', 'asks the container to end; in the foreground it is sent for SIGTERM')
    .option(
      '--stop-timeout <seconds>',
      'time from that signal to SIGKILL (default: 10 in the background)',
      parseSeconds,
    )
    .option('--restart <policy>', 'in the background: no, on-failure[:count], always or unless-stopped')
    .option('--log-opt <name=value>', 'in the background: max-size such as 20m, max-file; repeatable', collect)
}

function addHealthFlags(command: Command): void {
  command
    .option('--health-cmd <command>', 'in the background: shell command that tells whether the container is well')
    .option('--health-interval <time>', 'pause between looks, such as 30s', parseDuration)
    .option('--health-timeout <time>', 'longest time for one look', parseDuration)
    .option('--health-retries <count>', 'failures in a row that make it unhealthy', parseInteger)
    .option('--health-start-period <time>', 'time after the start in which failures do not count', parseDuration)
    .option('--health-start-interval <time>', 'pause between looks in that time', parseDuration)
    .option('--no-healthcheck', "leave out the image's check")
}

function addFileFlags(command: Command): void {
  command
    .option('-v, --volume <source:target[:ro]>', 'path of the host, or name of a volume; repeatable', collect)
    .option(
      '--mount <type=bind|volume|tmpfs,…>',
      'source, target, readonly, bind-propagation, tmpfs-size, …; repeatable',
      collect,
    )
    .option('--tmpfs <target[:size=…]>', 'a fresh file system in memory; repeatable', collect)
    .option('--read-only', 'mount the root file system read-only')
    .option('--shm-size <bytes>', 'size of /dev/shm, such as 64m')
}

function addLimitFlags(command: Command): void {
  command
    .option('-m, --memory <bytes>', 'memory limit, such as 256m')
    .option('--memory-swap <bytes>', 'memory plus swap; -1 is unlimited')
    .option('--memory-reservation <bytes>', 'soft limit')
    .option('--cpus <number>', 'such as 0.5', parseNumber)
    .option('-c, --cpu-shares <number>', 'relative weight', parseInteger)
    .option('--cpuset-cpus <list>', 'such as 0-2,4')
    .option('--pids-limit <number>', 'most processes; -1 is unlimited', parseInteger)
    .option('--ulimit <name=soft[:hard]>', 'such as nofile=1024; repeatable', collect)
    .option('--oom-score-adj <number>', '-1000 to 1000', parseInteger)
    .addOption(
      new Option('--limits <mode>', 'best-effort goes on where this host cannot set a limit').choices([
        'strict',
        'best-effort',
      ]),
    )
}

function addIsolationFlags(command: Command): void {
  command
    .option('--cap-add <name>', 'add a capability; repeatable', collect)
    .option('--cap-drop <name>', 'take a capability away; repeatable', collect)
    .option('--privileged', 'lift capabilities, seccomp, masked and read-only paths')
    .option('--security-opt <option>', 'seccomp=FILE or unconfined, no-new-privileges[=false]; repeatable', collect)
    .addOption(new Option('--userns <mode>', 'host: ids inside are ids of the host').choices(['auto', 'host']))
    .option('--sysctl <name=value>', "a kernel setting of the container's own; repeatable", collect)
    .option('--network <mode>', "none, host or container:NAME; there are no others yet (default: 'none')", parseNetwork)
    .addOption(new Option('--net <mode>').argParser(parseNetwork).hideHelp())
    .option(
      '-p, --publish <[ip:][port:]port[/udp]>',
      'in the foreground: a port of the host for one of the container; repeatable',
      collect,
    )
    .option('--dns <address>', 'name server; repeatable', collect)
    .option('--add-host <name:address>', 'line of /etc/hosts; repeatable', collect)
}

function parseNetwork(value: string): NetworkMode {
  if (value === 'none' || value === 'host' || value.startsWith('container:')) return value as NetworkMode
  throw new CliError(
    `'--network ${value}' is not supported: containers have no network, the host's or another container's.`,
    {
      exitCode: kFlagError,
      hint: '--network host',
    },
  )
}
