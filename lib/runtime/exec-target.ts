// SPDX-License-Identifier: MIT
import { constants } from 'node:fs'
import type { Cgroup } from '../cgroup/driver.ts'
import { ContainerStateError, UnsupportedHostError } from '../errors.ts'
import { type ProcessStatus, parseProcessStat } from '../host/process-status.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import type { NativeDescriptor, NativeWatch } from '../launcher/process-native.ts'
import type { ImageRunConfig } from '../oci/merge-config.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'

/** A container that runs, as far as a program that joins it must know it. */
export interface ExecTarget {
  /** 64 hexadecimal digits. */
  readonly id: string
  /** Its first process on the host, and when that started: clock ticks since boot, as in `/proc/<pid>/stat`. */
  readonly pid: number
  readonly startTimeTicks: number
  readonly hostname: string
  /** `undefined` where it has none of its own. */
  readonly cgroup: Cgroup | undefined
  readonly imageConfig: ImageRunConfig
  readonly options: NormalizedContainerOptions
}

const kAtFdcwd = -100
const kStatBytes = 4096

/** The first processes of containers in use, open: no other process can be taken for one of them, however pids change hands. */
export class ExecTargets {
  readonly #native: Native
  readonly #open = new Map<string, { pidfd: NativeDescriptor; watch: NativeWatch }>()

  constructor(native: Native) {
    this.#native = native
  }

  /**
   * Opens the first process of a container.
   *
   * @returns a pidfd that the caller closes
   * @throws {ContainerStateError} when the container has ended, also when its pid belongs to another process by now.
   */
  open(target: ExecTarget): number {
    const key = `${target.pid} ${target.startTimeTicks}`
    const known = this.#open.get(key)
    if (known !== undefined) return this.#native.duplicate(known.pidfd.fd)
    const pidfd = new this.#native.Descriptor(openTarget(this.#native, target))
    const watch = new this.#native.Watch(this.#native.duplicate(pidfd.fd), () => {
      this.#open.delete(key)
      pidfd.close()
    })
    watch.unref()
    this.#open.set(key, { pidfd, watch })
    return this.#native.duplicate(pidfd.fd)
  }

  close(): void {
    for (const { pidfd, watch } of this.#open.values()) {
      watch.close()
      pidfd.close()
    }
    this.#open.clear()
  }
}

function openTarget(native: Native, target: ExecTarget): number {
  let pidfd: number
  try {
    pidfd = native.pidfdOpen(target.pid)
  } catch (error) {
    if (isNativeError(error, 'ENOSYS', 'EINVAL')) throw noPidfd(error)
    throw isNativeError(error, 'ESRCH') ? endedError(target) : error
  }
  if (isAlive(native, target)) return pidfd
  native.close(pidfd)
  throw endedError(target)
}

/** Whether the container's first process is there and has not ended. Three quick system calls on /proc. */
export function isAlive(native: Native, { pid, startTimeTicks }: ExecTarget): boolean {
  const status = readStatus(native, pid)
  return status !== undefined && !status.isZombie && status.startTimeTicks === startTimeTicks
}

/**
 * Whether the container that a target was found for still runs, and is not paused. Some quick system calls on /proc and its cgroup:
 * its files on the disk need not be read for that.
 */
export function isRunning(native: Native, target: ExecTarget): boolean {
  const path = target.cgroup?.freezerPath
  const frozen = path === undefined ? '0' : readKernelFile(native, path)
  return frozen !== undefined && !/^(1|FREEZING|FROZEN)/.test(frozen) && isAlive(native, target)
}

/** The error for a container that has no processes any more. */
export function endedError({ id }: ExecTarget, cause?: unknown): ContainerStateError {
  const error = new ContainerStateError(`in container ${id.slice(0, 12)}`, 'exited', 'exec', ['running'])
  if (cause !== undefined) error.cause = cause
  return error
}

/** The error for a kernel that lets nobody enter a process's namespaces by a pidfd. */
export function noPidfd(cause: unknown): UnsupportedHostError {
  return new UnsupportedHostError(
    'running programs in a running container',
    'setns refuses the descriptor of a process',
    'use Linux 5.8 or later.',
    cause,
  )
}

function readStatus(native: Native, pid: number): ProcessStatus | undefined {
  const text = readKernelFile(native, `/proc/${pid}/stat`)
  return text === undefined ? undefined : parseProcessStat(text)
}

/** Reads a file that the kernel makes up, at once. @returns `undefined` where what it tells of has gone */
function readKernelFile(native: Native, path: string): string | undefined {
  const bytes = Buffer.allocUnsafe(kStatBytes)
  let fd: number | undefined
  try {
    fd = native.openat2(kAtFdcwd, path, { flags: constants.O_RDONLY })
    return bytes.toString('latin1', 0, native.read(fd, bytes, 0, bytes.length))
  } catch (error) {
    if (isNativeError(error, 'ENOENT', 'ESRCH', 'ENODEV')) return undefined
    throw error
  } finally {
    if (fd !== undefined) native.close(fd)
  }
}
