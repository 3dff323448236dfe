// SPDX-License-Identifier: MIT
import type { SeccompProfile } from './seccomp.ts'

/** Docker's default capability set. */
export const kDefaultCapabilities: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** What differs between bundles. */
export interface BundleOptions {
  rootfs: string
  args: readonly string[]
  /** Path below the mount point of each cgroup hierarchy, starting with a slash. */
  cgroupsPath: string
  /** First host id of a range of 65,536 for the user namespace. */
  firstHostId: number
  seccomp?: SeccompProfile
}

/**
 * Builds the OCI runtime config.json given to crun and runc: the same namespaces, mounts, capabilities, masked paths
 * and seccomp profile that a default container of the library has.
 * @source https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md
 */
export function bundleConfig(options: BundleOptions): object {
  const capabilities = [...kDefaultCapabilities]
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [...options.args],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    root: { path: options.rootfs, readonly: false },
    hostname: 'bench',
    mounts: kMounts,
    linux: linuxConfig(options),
  }
}

function linuxConfig(options: BundleOptions): object {
  const mapping = [{ containerID: 0, hostID: options.firstHostId, size: 65_536 }]
  return {
    namespaces: ['pid', 'mount', 'uts', 'ipc', 'network', 'cgroup', 'user'].map((type) => ({ type })),
    uidMappings: mapping,
    gidMappings: mapping,
    cgroupsPath: options.cgroupsPath,
    resources: { devices: [{ allow: false, access: 'rwm' }] },
    ...(options.seccomp === undefined ? {} : { seccomp: options.seccomp }),
    maskedPaths: ['acpi', 'kcore', 'keys', 'latency_stats', 'timer_list', 'sched_debug', 'scsi']
      .map((name) => `/proc/${name}`)
      .concat('/sys/firmware'),
    readonlyPaths: ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
  }
}

const kMounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
]
