// SPDX-License-Identifier: MIT
import type { RuntimeNamespaceType, RuntimeSpec } from '../oci/runtime-spec.ts'

/** Flags of clone(2) and setns(2). */
export const kCloneFlags: Readonly<Record<RuntimeNamespaceType, number>> = {
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
  time: 0x80,
}

/** Whether the configuration has a namespace of this type. */
export function hasNamespace(spec: RuntimeSpec, type: RuntimeNamespaceType): boolean {
  return spec.linux.namespaces.some((namespace) => namespace.type === type)
}

/** CLONE_NEW… flags of the configuration's namespaces, as far as they are wanted. */
export function namespaceFlags(spec: RuntimeSpec, isWanted: (type: RuntimeNamespaceType) => boolean): number {
  return spec.linux.namespaces
    .filter(({ type }) => isWanted(type))
    .reduce((sum, { type }) => sum + kCloneFlags[type], 0)
}

/** Whether the configuration names a network namespace that is there already. */
export function joinsNetwork(spec: RuntimeSpec): boolean {
  return spec.linux.namespaces.some(({ type, path }) => type === 'network' && path !== undefined)
}
