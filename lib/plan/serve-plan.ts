// SPDX-License-Identifier: MIT
import type { IdRange } from '../oci/build-spec.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { kMountAttr } from './mount-words.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'
import { type BindSource, userMount } from './start-plan.ts'

const kSigkill = 9
const kCloneNewNs = 0x20000
const kCloneNewUser = 0x10000000
const kCloneNewNet = 0x40000000
/** O_PATH is the same on all architectures. */
const kOpenPath = 0o10000000

/** What the plan of a process that serves the files of a running container depends on. */
export interface ServeInput {
  /** Slot of a pidfd of the container's first process. */
  pidfdSlot: number
  socketSlot: number
  /** Whether the container has a user namespace of its own. */
  hasUserNamespace: boolean
  /** Whether groups may be set: not by an ordinary user without a range of ids (user_namespaces(7)). */
  setsGroups: boolean
}

/**
 * Builds the plan of a process that serves the files of a running container: in its mount namespace as its root, but outside of its
 * pid namespace, so that the container can neither see nor trace it. Pure.
 */
export function buildServePlan({ pidfdSlot, socketSlot, hasUserNamespace, setsGroups }: ServeInput): Step[] {
  return [
    step('clone', 'create the process', [0, -1], ['', '']),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('dumpable', 'hide from ptrace', [0]),
    // The host's, as long as it is to be found: the container's /proc may be anything.
    step('open', 'open its own descriptors', [kSlot.proc, -1, kOpenPath, 0], ['/proc/self/fd']),
    step('setns', "enter the container's namespaces", [
      pidfdSlot,
      (hasUserNamespace ? kCloneNewUser : 0) | kCloneNewNs,
    ]),
    step('close', 'let go of the container', [pidfdSlot]),
    ...(hasUserNamespace ? rootSteps(setsGroups) : []),
    // A change of credentials may have undone both.
    step('dumpable', 'hide from ptrace', [0]),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('serve_files', 'serve files', [socketSlot, kSlot.proc]),
  ]
}

function rootSteps(setsGroups: boolean): Step[] {
  return [
    ...(setsGroups ? [step('setgroups', 'let go of the groups of the host')] : []),
    step('setresgid', "become the container's root group", [0]),
    step('setresuid', "become the container's root", [0]),
  ]
}

/**
 * Builds the second plan of a child that was prepared as for a container, and serves its files instead of running it. Pure.
 *
 * @param bindSlots - sources of its bind mounts, by destination; those that are not among them have been made.
 */
export function buildServeStoppedPlan(
  { mounts }: Pick<RuntimeSpec, 'mounts'>,
  bindSlots: ReadonlyMap<string, BindSource>,
  readOnly: boolean,
): Step[] {
  const { root, proc, secondPlan } = kSlot
  return [
    step('open', 'open its own descriptors', [proc, -1, kOpenPath, 0], ['/proc/self/fd']),
    ...mounts.filter(({ destination }) => bindSlots.has(destination)).map((mount) => userMount(mount, bindSlots)),
    ...(readOnly ? [step('mount_setattr', 'make the root read-only', [root, kMountAttr.readOnly, 0, 0, 0, -1])] : []),
    step('serve_files', 'serve files', [secondPlan, proc]),
  ]
}

/** What the plan of a process that makes sockets for a running container depends on. */
export interface ServeSocketsInput extends ServeInput {
  /** Whether the container has a network namespace of its own, or shares that of another container. */
  hasNetworkNamespace: boolean
  /** Whether paths are the container's: for sockets that are files. */
  seesFiles: boolean
}

/** Builds the plan of a process that makes sockets in the network namespace of a running container, which cannot see it. Pure. */
export function buildServeSocketsPlan(input: ServeSocketsInput): Step[] {
  const { pidfdSlot, socketSlot, hasUserNamespace, hasNetworkNamespace, seesFiles, setsGroups } = input
  const flags =
    (hasUserNamespace ? kCloneNewUser : 0) + (hasNetworkNamespace ? kCloneNewNet : 0) + (seesFiles ? kCloneNewNs : 0)
  return [
    step('clone', 'create the process', [0, -1], ['', '']),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('dumpable', 'hide from ptrace', [0]),
    ...(flags === 0 ? [] : [step('setns', "enter the container's namespaces", [pidfdSlot, flags])]),
    step('close', 'let go of the container', [pidfdSlot]),
    ...(hasUserNamespace ? rootSteps(setsGroups) : []),
    // A change of credentials may have undone both.
    step('dumpable', 'hide from ptrace', [0]),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('serve_sockets', 'make sockets in the container', [socketSlot]),
  ]
}

/** The ids of an engine's containers, and how they get mapped. */
export interface ServeIdsInput {
  uids: readonly IdRange[]
  gids: readonly IdRange[]
  mapMode: '' | 'deny' | 'helper'
  socketSlot: number
}

/** Builds the plan of a process that serves files of the host with the ids of containers, for a user who may not read them. Pure. */
export function buildServeIdsPlan({ uids, gids, mapMode, socketSlot }: ServeIdsInput): Step[] {
  const text = (ranges: readonly IdRange[]): string =>
    ranges.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join('')
  return [
    step('clone', 'create a user namespace', [kCloneNewUser, -1], [text(uids), text(gids), mapMode]),
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    step('dumpable', 'hide from ptrace', [0]),
    step('open', 'open its own descriptors', [kSlot.proc, -1, kOpenPath, 0], ['/proc/self/fd']),
    step('serve_files', 'serve files', [socketSlot, kSlot.proc]),
  ]
}
