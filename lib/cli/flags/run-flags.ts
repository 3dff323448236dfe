// SPDX-License-Identifier: MIT
import { type Command, Option } from 'commander'
import { CliError, kFlagError } from '../errors.ts'
import { collect, parseInteger, parseNumber } from './parsers.ts'

/** Flags of `wherry run`, as commander gives them. */
export interface RunFlags {
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
  network?: 'none' | 'host'
  dns?: string[]
  addHost?: string[]
  stopSignal?: string
  stopTimeout?: number
  timeout?: number
  limits?: 'strict' | 'best-effort'
}

/** Adds Docker's flags to a command: those that the library has options for, and a refusal for the others. */
export function addRunFlags(command: Command): void {
  addProcessFlags(command)
  addFileFlags(command)
  addLimitFlags(command)
  addIsolationFlags(command)
  for (const [flags, reason] of kUnsupported) addRefusal(command, flags, reason)
}

function addProcessFlags(command: Command): void {
  command
    .option('-i, --interactive', 'give the container our standard input')
    .option('-t, --tty', 'give the container a terminal')
    .option('--rm', 'accepted: the container is always removed when it ends')
    .option('-e, --env <name[=value]>', 'set a variable; NAME alone passes ours on; repeatable', collect)
    .option('--env-file <file>', 'set variables from lines of NAME=value; repeatable', collect)
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user[:group]>', 'names or ids')
    .option('--group-add <group>', 'further group; repeatable', collect)
    .option('--entrypoint <program>', "replaces the image's entrypoint; '' for none")
    .option('--name <name>', 'accepted: the container is gone when this command ends')
    .option('-l, --label <key[=value]>', 'accepted, as the name; repeatable', collect)
    .option('-h, --hostname <name>', 'host name inside')
    .option('--init', 'run a small first process that passes signals on and reaps orphans')
    .option('--stop-signal <signal>', 'sent to the container when we get SIGTERM')
    .option('--stop-timeout <seconds>', 'end by SIGKILL so long after a signal was passed on', parseNumber)
    .option('--timeout <seconds>', 'end by SIGKILL after this time', parseNumber)
}

function addFileFlags(command: Command): void {
  command
    .option('-v, --volume <source:target[:ro]>', 'directory or file of the host; repeatable', collect)
    .option(
      '--mount <type=bind|tmpfs,…>',
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
    .option('--network <mode>', "none or host; there are no others yet (default: 'none')", parseNetwork)
    .addOption(new Option('--net <mode>').argParser(parseNetwork).hideHelp())
    .option('--dns <address>', 'name server; repeatable', collect)
    .option('--add-host <name:address>', 'line of /etc/hosts; repeatable', collect)
}

function parseNetwork(value: string): 'none' | 'host' {
  if (value === 'none' || value === 'host') return value
  throw new CliError(`'--network ${value}' is not supported: containers have no network, or the host's.`, {
    exitCode: kFlagError,
    hint: '--network host',
  })
}

const kForeground = 'containers run in the foreground'
const kNoNetworks = "containers have no network, or with '--network host' the host's"
const kNoHealth = 'health checks are not run'

/** What Docker has and wherry has not. */
const kUnsupported: readonly (readonly [flags: string, reason: string])[] = [
  ['-d, --detach', kForeground],
  ['-a, --attach <stream>', 'standard output and error are always attached'],
  ['--detach-keys <keys>', kForeground],
  ['--sig-proxy <boolean>', 'signals are always passed on'],
  ['--restart <policy>', kForeground],
  ['-p, --publish <ports>', kNoNetworks],
  ['-P, --publish-all', kNoNetworks],
  ['--expose <port>', kNoNetworks],
  ['--ip <address>', kNoNetworks],
  ['--ip6 <address>', kNoNetworks],
  ['--mac-address <address>', kNoNetworks],
  ['--network-alias <name>', kNoNetworks],
  ['--link <container>', kNoNetworks],
  ['--dns-search <domain>', 'only --dns is'],
  ['--dns-option <option>', 'only --dns is'],
  ['--domainname <name>', 'only --hostname is'],
  ['--volumes-from <container>', 'there are no volumes yet'],
  ['--volume-driver <name>', 'there are no volumes yet'],
  ['--health-cmd <command>', kNoHealth],
  ['--health-interval <time>', kNoHealth],
  ['--health-retries <count>', kNoHealth],
  ['--health-timeout <time>', kNoHealth],
  ['--health-start-period <time>', kNoHealth],
  ['--no-healthcheck', kNoHealth],
  ['--device <device>', 'devices of the host are not passed on'],
  ['--device-cgroup-rule <rule>', 'devices of the host are not passed on'],
  ['--gpus <devices>', 'devices of the host are not passed on'],
  ['--blkio-weight <weight>', 'input and output are not limited'],
  ['--device-read-bps <limit>', 'input and output are not limited'],
  ['--device-write-bps <limit>', 'input and output are not limited'],
  ['--device-read-iops <limit>', 'input and output are not limited'],
  ['--device-write-iops <limit>', 'input and output are not limited'],
  ['--cpu-period <time>', 'use --cpus'],
  ['--cpu-quota <time>', 'use --cpus'],
  ['--cpuset-mems <list>', 'only --cpuset-cpus is'],
  ['--kernel-memory <bytes>', 'kernels do not have it any more'],
  ['--memory-swappiness <number>', 'only --memory-swap is'],
  ['--oom-kill-disable', 'use --oom-score-adj'],
  ['--storage-opt <option>', 'the size of the writable layer is not limited'],
  ['--ipc <mode>', 'every container has its own'],
  ['--pid <mode>', 'every container has its own'],
  ['--uts <mode>', 'every container has its own'],
  ['--cgroupns <mode>', 'every container has its own'],
  ['--cgroup-parent <path>', 'wherry finds a place for them'],
  ['--isolation <technology>', 'it is for Windows'],
  ['--runtime <name>', 'wherry starts containers itself'],
  ['--log-driver <name>', 'output goes to this terminal'],
  ['--log-opt <option>', 'output goes to this terminal'],
  ['--label-file <file>', 'only --label is'],
  ['--disable-content-trust', 'signatures are not checked'],
]

/** A flag that is known, so that its value is not taken for the image, and refused with a reason. */
function addRefusal(command: Command, flags: string, reason: string): void {
  const option = new Option(flags).hideHelp()
  command.addOption(option)
  command.on(`option:${option.name()}`, () => {
    throw new CliError(`Docker's '${option.long}' is not supported: ${reason}.`, { exitCode: kFlagError })
  })
}
