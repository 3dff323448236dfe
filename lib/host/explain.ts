// SPDX-License-Identifier: MIT
import type { HostFacts } from './facts.ts'

/** A failed system call, and what is known about the host it failed on. */
export interface Failure {
  /** Name of the system call, or of the program for `execve` of a helper: `clone3`, `mount`, `newuidmap`. */
  syscall: string
  /** Name of the errno: `EPERM`. */
  code: string
  /** What was being done, as the plan names it: `userNamespace`, `overlay`, `cgroup`, … */
  step?: string | undefined
  /** The file or directory it was about. */
  path?: string | undefined
  /** File system of a mount. */
  fsType?: string | undefined
  /** Whether the call was to make a user namespace. */
  userNamespace?: boolean | undefined
  facts: HostFacts
}

/**
 * Turns a misleading errno into one thing to do. The probes in `facts` decide between causes; a failure which no row explains
 * stays as it is, as a wrong hint is worse than none.
 *
 * @returns a sentence that starts in lower case and ends with a full stop
 */
export function explainFailure(failure: Failure): string | undefined {
  for (const row of kRows) {
    if (!row.codes.includes(failure.code) || !row.applies(failure)) continue
    const hint = row.hint(failure)
    if (hint !== undefined) return hint
  }
  return undefined
}

interface Row {
  codes: readonly string[]
  applies(failure: Failure): boolean
  hint(failure: Failure): string | undefined
}

const kRows: readonly Row[] = [
  { codes: ['EPERM', 'EACCES'], applies: makesUserNamespace, hint: deniedUserNamespace },
  { codes: ['ENOSPC', 'EUSERS'], applies: makesNamespace, hint: tooManyNamespaces },
  { codes: ['EINVAL', 'ENOSYS'], applies: makesUserNamespace, hint: missingUserNamespace },
  { codes: ['EPERM'], applies: makesNamespace, hint: deniedNamespace },
  {
    codes: ['ENOSPC'],
    applies: isMount,
    hint: () => 'raise the limit of mounts per namespace with sysctl fs.mount-max.',
  },
  { codes: ['ENODEV', 'EINVAL', 'ELOOP', 'EPERM', 'EOPNOTSUPP', 'ENOTSUP'], applies: isOverlay, hint: refusedOverlay },
  { codes: ['ENOENT'], applies: isIdMapTool, hint: () => "install newuidmap and newgidmap (Debian's package uidmap)." },
  {
    codes: ['EPERM', 'EINVAL'],
    applies: isIdMapTool,
    hint: (failure) => `give uid ${failure.facts.uid} a range of 65536 ids in both /etc/subuid and /etc/subgid.`,
  },
  {
    codes: ['EBUSY', 'ENODEV', 'EACCES', 'EPERM', 'EROFS', 'EOPNOTSUPP', 'ENOENT'],
    applies: isCgroup,
    hint: refusedCgroup,
  },
  {
    codes: ['EMFILE'],
    applies: () => true,
    hint: () => 'raise the limit of open files of this process (ulimit -n, or LimitNOFILE= of its service).',
  },
  {
    codes: ['ENFILE'],
    applies: () => true,
    hint: () => "raise the system's limit of open files with sysctl fs.file-max.",
  },
  { codes: ['EAGAIN'], applies: makesProcess, hint: tooManyProcesses },
  {
    codes: ['EPERM'],
    applies: ({ syscall }) => syscall === 'setrlimit' || syscall === 'prlimit64' || syscall === 'prlimit',
    hint: (failure) =>
      failure.facts.boundingCapabilities.includes('CAP_SYS_RESOURCE')
        ? undefined
        : 'ask for no more than the hard limit of this process, as it lacks CAP_SYS_RESOURCE.',
  },
]

function makesProcess({ syscall }: Failure): boolean {
  return syscall === 'clone' || syscall === 'clone3' || syscall === 'fork' || syscall === 'vfork'
}

function makesNamespace(failure: Failure): boolean {
  return makesProcess(failure) || failure.syscall === 'unshare'
}

function makesUserNamespace(failure: Failure): boolean {
  return makesNamespace(failure) && failure.userNamespace === true
}

function isMount({ syscall }: Failure): boolean {
  return kMountCalls.has(syscall)
}

const kMountCalls: ReadonlySet<string> = new Set([
  'mount',
  'fsopen',
  'fsconfig',
  'fsmount',
  'move_mount',
  'open_tree',
  'mount_setattr',
  'pivot_root',
])

function isOverlay(failure: Failure): boolean {
  return isMount(failure) && (failure.fsType === 'overlay' || failure.step === 'overlay')
}

function isIdMapTool({ syscall, step, path }: Failure): boolean {
  return [syscall, step, path?.split('/').at(-1)].some((name) => name === 'newuidmap' || name === 'newgidmap')
}

function isCgroup({ path, step }: Failure): boolean {
  return step === 'cgroup' || path?.startsWith('/sys/fs/cgroup/') === true
}

function deniedUserNamespace({ facts }: Failure): string | undefined {
  if (facts.userNamespaces.max === 0) return 'allow user namespaces with sysctl user.max_user_namespaces=15000.'
  // root is bound by none of the switches below, unless it is root of a namespace already.
  if (facts.userNamespaces.unprivileged === false && facts.uid !== 0) {
    return 'allow user namespaces with sysctl kernel.unprivileged_userns_clone=1.'
  }
  if (facts.apparmorRestrictsUserns === true && facts.uid !== 0) {
    return (
      'give the node binary an AppArmor profile with the rule "userns,", ' +
      'or set sysctl kernel.apparmor_restrict_unprivileged_userns=0.'
    )
  }
  return (
    'let the sandbox around this process (a seccomp filter, a chroot or an outer container) allow user namespaces: ' +
    'the sysctls kernel.unprivileged_userns_clone, user.max_user_namespaces and ' +
    'kernel.apparmor_restrict_unprivileged_userns do not forbid them.'
  )
}

function missingUserNamespace({ facts }: Failure): string | undefined {
  if (facts.userNamespaces.max !== 0) return undefined
  return "run as root with userns: 'host', as this kernel has no user namespaces (CONFIG_USER_NS)."
}

function tooManyNamespaces(failure: Failure): string {
  if (makesUserNamespace(failure) && failure.facts.userNamespaces.max === 0) {
    return 'allow user namespaces with sysctl user.max_user_namespaces=15000.'
  }
  return 'raise the limits sysctl user.max_*_namespaces, of which one is reached (user namespaces also nest 32 deep at most).'
}

function deniedNamespace({ facts }: Failure): string | undefined {
  if (facts.boundingCapabilities.includes('CAP_SYS_ADMIN')) return undefined
  return 'keep userns at its default, as this process lacks CAP_SYS_ADMIN and may make namespaces only inside a new user namespace.'
}

function refusedOverlay({ code, facts }: Failure): string | undefined {
  if (!facts.overlay) return 'load the overlay file system with modprobe overlay.'
  if (code === 'EPERM') {
    return facts.uid === 0
      ? undefined
      : 'run as root or on Linux 5.11 or later, the first that lets a user namespace mount overlay.'
  }
  return (
    'put the engine root on a local file system that can carry an overlay, such as ext4, xfs (ftype=1), btrfs or tmpfs: ' +
    'not itself an overlay, NFS or a case-folding directory, and not inside one of the layers.'
  )
}

function refusedCgroup({ code, path, facts }: Failure): string | undefined {
  const where = path ?? 'the cgroup directory'
  switch (code) {
    case 'EBUSY':
      return path?.endsWith('subtree_control') === true
        ? `move the processes in ${path.replace('subtree_control', 'procs')} into a cgroup below it, as controllers can be passed on only by a cgroup without processes.`
        : `end the processes that are still in ${where}.`
    case 'ENODEV':
    case 'ENOENT':
    case 'EOPNOTSUPP':
      return facts.cgroupVersion === 'v2'
        ? `enable the controller in cgroup.subtree_control of the directories above ${where}.`
        : `mount the controller, or remove cgroup_disable from the kernel's command line: ${where} lacks it.`
    default:
      return facts.uid === 0
        ? `make ${where} writable, for example by remounting the cgroup file system read-write.`
        : 'run under a delegated cgroup: systemd-run --user --scope -p Delegate=yes node …'
  }
}

function tooManyProcesses(): string {
  return 'raise the limit of processes (ulimit -u, pids.max of the cgroup of this process, or sysctl kernel.pid_max).'
}
