// SPDX-License-Identifier: MIT

import { kDefaultDevices, kDefaultDevLinks } from '../oci/default-mounts.ts'
import type { RuntimeMount, RuntimeSpec } from '../oci/runtime-spec.ts'
import { bindSteps } from './bind-steps.ts'
import { type CgroupView, cgroupMounts } from './cgroup-mounts.ts'
import { encodeAhead, nulTerminated } from './encode.ts'
import { joinSteps, makerMountsSys } from './join-network.ts'
import { kMountAttr, kMountFlag, parseMountWords } from './mount-words.ts'
import { hasNamespace, joinsNetwork, kCloneFlags, namespaceFlags } from './namespaces.ts'
import { type Step, step } from './ops.ts'
import { kSlot } from './slots.ts'

/** A file system of the host that goes over a directory of the root: an overlay of its own. */
export interface ExtraOverlay {
  /** Path in the container. */
  target: string
  /** `slot/path` */
  lower: string
  /** Paths below the state directory. */
  upper: string
  work: string
}

/** What of the host's root directory appears in a container without an overlay over the whole. */
export interface HostTree {
  /** Symbolic links: path, then target. */
  links: readonly (readonly [path: string, target: string])[]
  /** Directories shown read-only, with what is mounted below them. */
  readOnly: readonly string[]
}

/** The root file system: an overlay of layers and a writable directory. */
export interface RootInput {
  /** Layers, topmost first, as `slot/path`. */
  lowers: readonly string[]
  /** Paths below the state directory. */
  upper: string
  work: string
  overlays: readonly ExtraOverlay[]
  /** Slots of layers that are detached mounts: they get attached first. */
  detached: readonly number[]
  /** For a child that sees the host's root but may not mount it whole. */
  host: HostTree | null
  /** Whether overlay keeps its marks in user.* (needed in a user namespace), and whether it may skip syncing. */
  userXattr: boolean
  volatile: boolean
  /** Whether device nodes that an image holds stay dead. */
  noDevices: boolean
  /** Paths of the container covered because they are not for it (`Image.host()`'s `hide`). */
  hide: readonly string[]
}

/** What of the host and the engine the first plan depends on, besides the configuration. */
export interface PrepareInput {
  spec: RuntimeSpec
  /** A directory in the host's mount namespace that every user can reach; covered by the staging file system. */
  stageDir: string
  /** Path of the state directory, for a child that may open it itself; `null` when {@link kSlot.state} brings it. */
  statePath: string | null
  /** How the id maps get written: directly, directly without group privilege, or by newuidmap. */
  mapMode: '' | 'deny' | 'helper'
  /** Directories to make on the host, as ourselves, parents first: absolute paths and permission bits. */
  directories: readonly (readonly [path: string, mode: number])[]
  /** v1 `tasks` files to join. */
  cgroupTasks: readonly string[]
  /** cgroup directory on a v2 mount; `null` where there is none. */
  unifiedCgroup: string | null
  cgroupViews: readonly CgroupView[]
  /** Slot of a pidfd of the container whose network is joined; `null`: none. */
  networkSlot: number | null
  /** Generated files, by path in the container. */
  etcFiles: Readonly<Record<string, string>>
  root: RootInput
  /** Whether bind mounts are made here, by a child that opens their sources itself, and not by the second plan. */
  bindsAhead: boolean
}

const kSigkill = 9
/** O_RDONLY | O_DIRECTORY differs by architecture; without O_DIRECTORY a directory opens just as well. */
const kOpenDirectory = 0

/** Mounts that do not depend on the image: they are made ahead of time. */
export function isStandardMount(mount: RuntimeMount): boolean {
  return kPrepared.has(mount.destination) && mount.type !== 'bind' && !(mount.options ?? []).includes('bind')
}

const kPrepared = new Set(['/proc', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/sys', '/sys/fs/cgroup'])

/** The steps that all first plans of one profile share. */
export interface SharedPrepareSteps {
  namespaces: readonly Step[]
  staging: readonly Step[]
  mounts: readonly Step[]
  place: readonly Step[]
  end: readonly Step[]
}

/** Builds the shared steps, encoded: they are most of a plan, and the host name, paths and ids of a slot are not in them. */
export function sharedPrepareSteps({
  spec,
  cgroupViews,
}: Pick<PrepareInput, 'spec' | 'cgroupViews'>): SharedPrepareSteps {
  return {
    namespaces: encodeAhead(namespaceSteps(spec)),
    staging: encodeAhead(stagingDirectories()),
    mounts: encodeAhead([...standardMounts(spec, cgroupViews), ...hiddenPaths(spec)]),
    place: encodeAhead(placeStandardMounts(spec)),
    end: encodeAhead(endSteps()),
  }
}

/**
 * Builds the first plan: from a clone of the launcher to a child in its own namespaces, inside the image's root file system
 * with the standard mounts in place, that waits for what to run. Pure; children made from equal plans can stand in for each other.
 *
 * @param shared - what {@link sharedPrepareSteps} made of the same configuration, where several plans are built of it
 */
export function buildPreparePlan(input: PrepareInput, shared = sharedPrepareSteps(input)): Step[] {
  const { spec, root } = input
  return [
    ...makerSteps(input),
    ...shared.namespaces,
    ...(spec.hostname === undefined ? [] : [step('sethostname', 'set the host name', [], [spec.hostname])]),
    ...Object.entries(spec.linux.sysctl ?? {}).map(([key, value]) =>
      step('sysctl', `set the kernel parameter ${key}`, [], [key.replaceAll('.', '/'), value]),
    ),
    ...(root.host === null && !input.bindsAhead
      ? []
      : [step('open', "open the host's root", [kSlot.hostRoot, -1, kOpenDirectory, 0], ['/'])]),
    ...stageSteps(input, shared.staging),
    ...shared.mounts,
    ...rootSteps(root),
    ...shared.place,
    ...hostTreeSteps(root.host),
    ...root.overlays.map((overlay) => extraOverlay(root, overlay)),
    ...(root.host === null
      ? []
      : [step('fsmount', 'mount /var/tmp', [-1, kSlot.root, kMountAttr.nosuid], ['tmpfs', '/var/tmp', 'mode=1777'])]),
    ...root.hide.map((path) => step('mask_path', `hide ${path}`, [kSlot.root], [path])),
    ...(input.bindsAhead ? spec.mounts.filter(isBindMount).flatMap((mount) => bindSteps(mount, input.statePath)) : []),
    step('pivot_root', 'enter the root', [kSlot.root]),
    ...root.detached.map(letGo),
    ...shared.end,
  ]
}

function namespaceSteps(spec: RuntimeSpec): Step[] {
  return [
    step('pdeathsig', 'end with the launcher', [kSigkill]),
    // After the ids are mapped: the kernel makes the root of /dev/mqueue belong to whoever makes the namespace.
    ...(hasNamespace(spec, 'ipc') ? [step('unshare', 'create the ipc namespace', [kCloneFlags.ipc])] : []),
    step('dumpable', 'hide from ptrace', [0]),
    step('setsid', 'start a session'),
    step('session_keyring', 'get an own session keyring'),
    step('propagation', 'keep mounts from the host', [propagationFlag(spec)], ['/']),
    ...(hasNamespace(spec, 'network') && !joinsNetwork(spec)
      ? [step('loopback_up', 'bring the loopback interface up')]
      : []),
  ]
}

/** What is left of the host: nothing may keep its mounts alive, or lead back to them. */
function endSteps(): Step[] {
  const { state, stage, proc, sys, pts, hostRoot } = kSlot
  return [...[state, stage, proc, sys, pts, hostRoot].map(letGo), step('await', 'wait for the program')]
}

function letGo(slot: number): Step {
  return step('close', 'let go of the host', [slot])
}

function makerSteps(input: PrepareInput): Step[] {
  const { spec, directories, cgroupTasks, unifiedCgroup, mapMode, networkSlot } = input
  const adjust = spec.process.oomScoreAdj
  const flags = namespaceFlags(spec, (type) => type !== 'ipc' && !(type === 'network' && joinsNetwork(spec)))
  const maps = [spec.linux.uidMappings, spec.linux.gidMappings].map((ranges) =>
    (ranges ?? []).map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join(''),
  )
  return [
    ...(adjust === undefined ? [] : [step('oom_score_adj', 'set the out-of-memory score', [adjust])]),
    ...directories.map(([path, mode]) => step('mkdir', `make ${path}`, [-1, mode, 0], [path])),
    ...(unifiedCgroup === null
      ? []
      : [step('open', 'open the cgroup', [kSlot.unifiedCgroup, -1, kOpenDirectory, 0], [unifiedCgroup])]),
    ...cgroupTasks.map((path) => step('cgroup_join', `join the cgroup ${path}`, [], [path])),
    ...(networkSlot === null ? [] : joinSteps(spec, networkSlot)),
    step(
      'clone',
      'create the namespaces',
      [flags, unifiedCgroup === null ? -1 : kSlot.unifiedCgroup],
      [...maps, mapMode],
    ),
  ]
}

function propagationFlag(spec: RuntimeSpec): number {
  const slave = spec.mounts.some(({ options }) => (options ?? []).some((word) => /^r?(slave|shared)$/.test(word)))
  return kMountFlag.rec | (slave ? kMountFlag.slave : kMountFlag.private)
}

function stagingDirectories(): Step[] {
  // A lower layer of its own above the image's: mount points and generated files exist whatever the image holds, and a
  // symbolic link of the image in their place is covered.
  const skeleton = ['skel', 'skel/etc', 'skel/proc', 'skel/sys', 'skel/dev']
  return ['root', 'state', 'proc', 'sys', 'dev', ...skeleton].map((name) =>
    step('mkdir', 'make a staging directory', [kSlot.stage, 0o755, 0], [name]),
  )
}

function stageSteps({ stageDir, statePath, etcFiles }: PrepareInput, staging: readonly Step[]): Step[] {
  const { stage, state, scratch } = kSlot
  // Opened before it is covered, where the two are one.
  const openState =
    statePath === null ? [] : [step('open', 'open the state directory', [scratch, -1, kOpenDirectory, 0], [statePath])]
  const attachState =
    statePath === null
      ? [step('move_mount', 'attach the state directory', [state, stage, 1], ['state'])]
      : [
          step('bind', 'attach the state directory', [scratch, stage, 0, 0, -1, 0], ['', 'state']),
          step('open', 'open the state directory', [state, stage, kOpenDirectory, 0], ['state']),
          step('close', 'close the state directory', [scratch]),
        ]
  return [
    ...openState,
    step(
      'fsmount',
      'mount the staging file system',
      [stage, -1, kMountAttr.nosuid],
      ['tmpfs', stageDir, 'mode=0755', 'size=16m'],
    ),
    ...staging,
    ...attachState,
    ...Object.entries(etcFiles).map(([path, text]) =>
      step('write_file', `write ${path}`, [stage, 0o644, 0o100 | 0o1000], [`skel${path}`, text]),
    ),
  ]
}

function standardMounts(spec: RuntimeSpec, cgroupViews: readonly CgroupView[]): Step[] {
  return spec.mounts.filter(isStandardMount).flatMap((mount) => {
    const { attr, data } = parseMountWords(mount.options)
    switch (mount.destination) {
      case '/proc':
        return [step('fsmount', 'mount /proc', [kSlot.proc, kSlot.stage, attr], ['proc', 'proc', ...data])]
      case '/sys':
        if (!makerMountsSys(spec)) {
          return [step('fsmount', 'mount /sys', [kSlot.sys, kSlot.stage, attr], ['sysfs', 'sys', ...data])]
        }
        return [step('move_mount', 'attach /sys', [kSlot.sys, kSlot.stage, 1], ['sys'])]
      case '/sys/fs/cgroup':
        return hasOwnSys(spec) ? cgroupMounts(cgroupViews, attr, kSlot.sys, 'fs/cgroup') : []
      case '/dev':
        return deviceSteps(attr, data, !hasNamespace(spec, 'user'))
      default:
        return devMount(mount, attr, data)
    }
  })
}

function devMount(mount: RuntimeMount, attr: number, data: string[]): Step[] {
  const name = mount.destination.slice('/dev/'.length)
  const slot = name === 'pts' ? kSlot.pts : -1
  // newinstance is a word of old kernels: every devpts mount is a new instance since 4.7.
  const options = data.filter((word) => word !== 'newinstance')
  return [step('fsmount', `mount ${mount.destination}`, [slot, kSlot.dev, attr], [mount.type ?? '', name, ...options])]
}

function deviceSteps(attr: number, data: string[], ownNodes: boolean): Step[] {
  const { dev, stage } = kSlot
  return [
    step('fsmount', 'mount /dev', [dev, stage, attr], ['tmpfs', 'dev', ...data]),
    ...['pts', 'shm', 'mqueue'].map((name) => step('mkdir', `make /dev/${name}`, [dev, 0o755, 0], [name])),
    ...kDefaultDevices.map(({ path, major, minor }) =>
      step('bind_device', `make ${path}`, [dev, major, minor, ownNodes ? 1 : 0], [path, path.slice('/dev/'.length)]),
    ),
    ...kDefaultDevLinks.map(([path, target]) =>
      step('symlink', `make ${path}`, [dev], [target, path.slice('/dev/'.length)]),
    ),
  ]
}

/** Whether /sys is mounted anew; on the host's network it is the host's, bound by the second plan. */
export function hasOwnSys(spec: RuntimeSpec): boolean {
  return spec.mounts.some((mount) => mount.destination === '/sys' && isStandardMount(mount))
}

/** Whether a path lies in a kernel file system that the first plan mounts; the others are hidden by the second plan. */
export function isInStandardMount(spec: RuntimeSpec, path: string): boolean {
  const top = path.startsWith('/proc/') ? '/proc' : path.startsWith('/sys/') ? '/sys' : undefined
  return top !== undefined && spec.mounts.some((mount) => mount.destination === top && isStandardMount(mount))
}

/** Masked and read-only paths of /proc and /sys. */
function hiddenPaths(spec: RuntimeSpec): Step[] {
  const inside = (paths: readonly string[] = []): readonly string[] =>
    paths.filter((path) => isInStandardMount(spec, path))
  return [
    ...inside(spec.linux.maskedPaths).flatMap((path) => hide('mask_path', 'mask', path)),
    ...inside(spec.linux.readonlyPaths).flatMap((path) => hide('readonly_path', 'make read-only', path)),
  ]
}

const kOverlay = { userXattr: 1, volatile: 2 } as const

function overlayFlags({ userXattr, volatile }: RootInput): number {
  return (userXattr ? kOverlay.userXattr : 0) | (volatile ? kOverlay.volatile : 0)
}

function overlayAttr({ noDevices }: RootInput): number {
  return noDevices ? kMountAttr.nodev : 0
}

function rootSteps(input: RootInput): Step[] {
  const { root, stage, state } = kSlot
  return [
    // Kernels before 6.15 take only attached mounts as layers.
    ...input.detached.map((slot) => step('move_mount', 'attach a layer', [slot, stage, 1], [`lower-${slot}`])),
    step(
      'overlay',
      'mount the root file system',
      [root, stage, overlayFlags(input), overlayAttr(input)],
      ['root', `${state}/${input.upper}`, `${state}/${input.work}`, nulTerminated([`${stage}/skel`, ...input.lowers])],
    ),
  ]
}

function placeStandardMounts(spec: RuntimeSpec): Step[] {
  const present = new Set(spec.mounts.filter(isStandardMount).map(({ destination }) => destination))
  return (['proc', 'sys', 'dev'] as const)
    .filter((name) => present.has(`/${name}`))
    .map((name) => step('move_mount', `put /${name} in place`, [kSlot[name], kSlot.root, 1], [name]))
}

/** Whether a mount shows a file or directory of the host. */
export function isBindMount({ options = [] }: RuntimeMount): boolean {
  return options.includes('bind') || options.includes('rbind')
}

function hostTreeSteps(host: HostTree | null): Step[] {
  if (host === null) return []
  const bindFlags = 1
  return [
    ...host.links.map(([path, target]) => step('symlink', `link ${path}`, [kSlot.root], [target, path.slice(1)])),
    // Directories of ids that are not mapped cannot be written to: where everybody writes, there is something of its own.
    step('mkdir', 'make /tmp', [kSlot.root, 0o1777, 0], ['tmp']),
    step('mkdir', 'make /run', [kSlot.root, 0o755, 0], ['run']),
    ...host.readOnly.map((path) =>
      step(
        'bind',
        `show ${path}`,
        [kSlot.hostRoot, kSlot.root, bindFlags, kMountAttr.readOnly | kMountAttr.nosuid, -1, 0],
        [path.slice(1), path],
      ),
    ),
  ]
}

function extraOverlay(input: RootInput, { target, upper, work, lower }: ExtraOverlay): Step {
  return step(
    'overlay',
    `mount the file system of ${target}`,
    [-1, kSlot.root, overlayFlags(input), overlayAttr(input)],
    [target, `${kSlot.state}/${upper}`, `${kSlot.state}/${work}`, nulTerminated([lower])],
  )
}

function hide(op: 'mask_path' | 'readonly_path', verb: string, path: string): Step[] {
  const [, top, rest] = /^\/(proc|sys)\/(.+)$/.exec(path) ?? []
  if (rest === undefined) return []
  return [step(op, `${verb} ${path}`, [top === 'proc' ? kSlot.proc : kSlot.sys], [rest])]
}
