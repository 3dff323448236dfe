// SPDX-License-Identifier: MIT
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { parseMountWords } from './mount-words.ts'
import { hasNamespace, joinsNetwork, kCloneFlags } from './namespaces.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'

/** Whether /sys is for the maker to mount: the kernel refuses it to a user namespace that the network does not belong to. */
export function makerMountsSys(spec: RuntimeSpec): boolean {
  return joinsNetwork(spec) && hasNamespace(spec, 'user') && sysOf(spec) !== undefined
}

/** Before the clone, and so before there is a user namespace, from which nobody may enter another one's network. */
export function joinSteps(spec: RuntimeSpec, networkSlot: number): Step[] {
  const { attr, data } = parseMountWords(sysOf(spec)?.options)
  return [
    step('setns', "enter the other container's network", [networkSlot, kCloneFlags.network, 1]),
    step('close', 'let go of the other container', [networkSlot]),
    ...(makerMountsSys(spec) ? [step('fsmount', 'mount /sys', [kSlot.sys, -1, attr, 1], ['sysfs', '', ...data])] : []),
  ]
}

function sysOf(spec: RuntimeSpec): RuntimeSpec['mounts'][number] | undefined {
  return spec.mounts.find(({ destination, type }) => destination === '/sys' && type === 'sysfs')
}
