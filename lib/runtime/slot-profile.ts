// SPDX-License-Identifier: MIT
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { isStandardMount } from '../plan/prepare-plan.ts'
import type { SlotProfile } from './slot-factory.ts'

/** Stands for a host name that is not known before a slot is taken. No real one: it has a character that none may have. */
export const kHostnameOfSlot = '<id>'

/** Reduces a container to what its first plan depends on, so that containers with different programs can share slots. */
export function slotProfile(spec: RuntimeSpec, options: NormalizedContainerOptions, needsCgroup: boolean): SlotProfile {
  const { linux } = spec
  const kept = spec.mounts.filter((mount) => isStandardMount(mount) || travels(mount.options))
  const inKernelTrees = (path: string): boolean => /^\/(proc|sys)\//.test(path)
  return {
    spec: {
      ociVersion: spec.ociVersion,
      ...(spec.hostname === undefined || spec.hostname === kHostnameOfSlot ? {} : { hostname: spec.hostname }),
      process: {
        args: [],
        env: [],
        cwd: '/',
        user: { uid: 0, gid: 0 },
        ...(spec.process.oomScoreAdj === undefined ? {} : { oomScoreAdj: spec.process.oomScoreAdj }),
      },
      root: { path: '/' },
      mounts: kept,
      linux: {
        namespaces: linux.namespaces,
        uidMappings: linux.uidMappings ?? [],
        gidMappings: linux.gidMappings ?? [],
        sysctl: linux.sysctl ?? {},
        maskedPaths: (linux.maskedPaths ?? []).filter(inKernelTrees),
        readonlyPaths: (linux.readonlyPaths ?? []).filter(inKernelTrees),
      },
    },
    hasUserNamespace: linux.namespaces.some(({ type }) => type === 'user'),
    network: options.network,
    dns: options.dns,
    extraHosts: options.extraHosts,
    needsCgroup,
  }
}

/** Gives a configuration the host name of the slot that it runs in. */
export function adoptHostname(spec: RuntimeSpec, hostname: string): RuntimeSpec {
  if (spec.hostname !== kHostnameOfSlot) return spec
  const placeholder = `HOSTNAME=${kHostnameOfSlot}`
  const env = spec.process.env.map((entry) => (entry === placeholder ? `HOSTNAME=${hostname}` : entry))
  return { ...spec, hostname, process: { ...spec.process, env } }
}

function travels(options: readonly string[] = []): boolean {
  return options.some((word) => /^r?(slave|shared)$/.test(word))
}
