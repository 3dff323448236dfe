// SPDX-License-Identifier: MIT
import type { EtcFilesInput } from '../rootfs/etc-files.ts'

/** A container whose network another one shares. */
export interface NetworkJoin {
  /** Its first process on the host. */
  readonly pid: number
  /**
   * Opens its first process.
   *
   * @returns a pidfd that the caller closes
   * @throws {ContainerStateError} when it has ended.
   */
  readonly open: () => Promise<number>
  /** What its `/etc/hosts` and `/etc/resolv.conf` are made from: they belong to the network. */
  readonly names: Pick<EtcFilesInput, 'hostname' | 'network' | 'dns' | 'extraHosts'>
}
