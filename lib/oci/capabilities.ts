// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'

/** Every Linux capability; the index is its number. @source include/uapi/linux/capability.h of Linux 6.18 */
export const kCapabilities: readonly string[] =
  `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
  SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
  MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`
    .split(/\s+/)
    .map((name) => `CAP_${name}`)

/** What a container may do by default: Docker's set. */
export const kDefaultCapabilities: readonly string[] =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`)

/** Returns the number of a capability by its full name, or `undefined`. */
export function capabilityNumber(name: string): number | undefined {
  const number = kCapabilities.indexOf(name)
  return number < 0 ? undefined : number
}

/** Returns the name of a capability by its number, or `undefined` for one newer than this list. */
export function capabilityName(number: number): string | undefined {
  return kCapabilities[number]
}

/** Converts names to a bit mask as in /proc/PID/status. Unknown names are left out. */
export function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n
  for (const name of names) {
    const number = capabilityNumber(name)
    if (number !== undefined) mask |= 1n << BigInt(number)
  }
  return mask
}

/** Converts a bit mask, such as CapBnd in /proc/PID/status, to names in the order of their numbers. */
export function capabilityNames(mask: bigint): string[] {
  return kCapabilities.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n)
}

/**
 * Brings a name into the form `CAP_NET_ADMIN`, or `'ALL'`. Takes any case, with or without `CAP_`.
 *
 * @throws {InvalidOptionError} for a name the kernel does not have.
 */
export function normalizeCapability(name: string, option = 'capabilities'): string {
  const upper = name.toUpperCase()
  if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL'
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (capabilityNumber(full) === undefined) {
    throw new InvalidOptionError(option, "a capability such as 'NET_ADMIN', or 'ALL'", name)
  }
  return full
}

/**
 * Applies additions and drops to the default set, by Docker's rules:
 *
 * - add ALL: everything but what is dropped; drop ALL: only what is added; otherwise default minus drop plus add;
 * - a capability both added and dropped stays.
 *
 * With `'ALL'` in both lists the drop wins: nothing is left but the capabilities that are added by name.
 *
 * @param changes - names as {@link normalizeCapability} returns them.
 * @param bounding - what this process may hand out at all; the result never has more.
 * @returns names in the order of their numbers.
 */
export function applyCapabilities(
  changes: { add: readonly string[]; drop: readonly string[] },
  bounding: readonly string[],
): string[] {
  const add = new Set(changes.add)
  const drop = new Set(changes.drop)
  const wanted = (name: string): boolean => {
    if (drop.has('ALL')) return add.has(name)
    if (add.has('ALL')) return !drop.has(name)
    return add.has(name) || (kDefaultCapabilities.includes(name) && !drop.has(name))
  }
  return kCapabilities.filter((name) => wanted(name) && bounding.includes(name))
}
