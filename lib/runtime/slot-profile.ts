// SPDX-License-Identifier: MIT

import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import { isBindMount, isInStandardMount, isStandardMount } from '../plan/prepare-plan.ts'
import type { Rootfs, SlotProfile } from './slot-factory.ts'

/** Stands for a host name that is not known before a slot is made. No real one: it has characters that none may have. */
export const kHostnameOfSlot = '<id>'

/** Everything that {@link slotProfile} depends on, as a key that is cheaper to make than a configuration. */
export function slotKey(rootfs: Rootfs, options: NormalizedContainerOptions, needsCgroup: boolean): string {
  const { userns, network, privileged, shmSizeBytes, mounts, maskedPaths, readonlyPaths, sysctls } = options
  const { oomScoreAdj, hostname, dns, extraHosts } = options
  const files = rootfs.kind === 'host' ? rootfs.hide : rootfs.layers.map(({ dir }) => dir)
  const shape = [userns, network, privileged, shmSizeBytes, oomScoreAdj, hostname, needsCgroup, rootfs.kind]
  return JSON.stringify([shape, files, mounts, maskedPaths, readonlyPaths, sysctls, dns, extraHosts])
}

/** Reduces a container to what its first plan depends on, so that containers with different programs can share slots. */
export function slotProfile(
  spec: RuntimeSpec,
  rootfs: Rootfs,
  options: NormalizedContainerOptions,
  needsCgroup: boolean,
): SlotProfile {
  const { linux } = spec
  const { hostname: _placeholder, ...rest } = spec
  const kept = spec.mounts.filter((mount) => isStandardMount(mount) || travels(mount.options) || isBindMount(mount))
  const ahead = (path: string): boolean => isInStandardMount(spec, path)
  return {
    spec: {
      ...rest,
      ...(options.hostname === null ? {} : { hostname: options.hostname }),
      mounts: kept,
      linux: {
        ...linux,
        maskedPaths: (linux.maskedPaths ?? []).filter(ahead),
        readonlyPaths: (linux.readonlyPaths ?? []).filter(ahead),
      },
    },
    rootfs: rootfs.kind === 'host' ? rootfs : { kind: 'layers', layers: rootfs.layers.map(({ dir }) => ({ dir })) },
    hasUserNamespace: linux.namespaces.some(({ type }) => type === 'user'),
    privileged: options.privileged,
    network: options.network,
    dns: options.dns,
    extraHosts: options.extraHosts,
    needsCgroup,
  }
}

/** Whether mounts made later travel through this one: it decides how the whole namespace is connected. */
function travels(options: readonly string[] = []): boolean {
  return options.some((word) => /^r?(slave|shared)$/.test(word))
}
