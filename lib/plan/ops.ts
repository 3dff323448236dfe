// SPDX-License-Identifier: MIT

/** Names of the plan operations in wire order; native/ops.h holds the same list, and a test compares the two. */
export const kOps = [
  'clone',
  'unshare',
  'setns',
  'await',
  'pdeathsig',
  'dumpable',
  'setsid',
  'session_keyring',
  'propagation',
  'fsmount',
  'overlay',
  'open_tree',
  'mount_setattr',
  'move_mount',
  'bind',
  'bind_device',
  'mask_path',
  'readonly_path',
  'umount',
  'pivot_root',
  'mkdir',
  'mknod',
  'symlink',
  'write_file',
  'open',
  'close',
  'sethostname',
  'setdomainname',
  'rlimit',
  'sysctl',
  'cgroup_join',
  'oom_score_adj',
  'loopback_up',
  'umask',
  'chdir',
  'stdio',
  'controlling_tty',
  'open_pty',
  'close_others',
  'setgroups',
  'setresgid',
  'setresuid',
  'bounding',
  'capset',
  'ambient',
  'keepcaps',
  'no_new_privs',
  'seccomp',
  'init',
  'exec',
  'serve_files',
  'fork',
  'serve_sockets',
] as const

/** Name of a plan operation. */
export type OpName = (typeof kOps)[number]

/** One syscall-sized step. `intent` says in a person's words what it is for; it stays in TypeScript. */
export interface Step {
  readonly op: OpName
  readonly integers: readonly (number | bigint)[]
  readonly strings: readonly (string | Uint8Array)[]
  readonly intent: string
  /** The step's bytes, where `encodeAhead` has made them. */
  readonly encoded?: Uint8Array
}

/** Makes a step. */
export function step(
  op: OpName,
  intent: string,
  integers: readonly (number | bigint)[] = [],
  strings: readonly (string | Uint8Array)[] = [],
): Step {
  return { op, integers, strings, intent }
}
