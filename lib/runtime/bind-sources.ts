// SPDX-License-Identifier: MIT
import { InvalidOptionError } from '../errors.ts'
import { isNativeError } from '../launcher/fs-native.ts'
import type { Native } from '../launcher/native.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import type { NormalizedMount } from '../options/container-options.ts'
import { parseMountWords } from '../plan/mount-words.ts'
import { isBindMount } from '../plan/prepare-plan.ts'
import type { BindSource } from '../plan/start-plan.ts'
import type { PlanDescriptors } from './descriptors.ts'
import type { Runtime } from './runtime.ts'

/** An ordinary user's process may clone no mount; the child opens the sources itself. */
export function bindsAhead({ host }: Pick<Runtime, 'host'>): boolean {
  return !host.facts.rootful
}

/** Clones the sources of a configuration's bind mounts, and adds them to a plan's descriptors. @returns their slots, by destination */
export function bindSources(
  runtime: Runtime,
  descriptors: PlanDescriptors,
  spec: RuntimeSpec,
): Map<string, BindSource> {
  const binds = new Map<string, BindSource>()
  if (bindsAhead(runtime)) return binds
  const { native, mounts, host } = runtime
  const hasUserNamespace = spec.linux.namespaces.some(({ type }) => type === 'user')
  for (const mount of spec.mounts.filter(isBindMount)) {
    const { attr, recursive, propagation, idMapped, subpath } = parseMountWords(mount.options)
    const source = openSource(native, mount.source ?? '', subpath)
    try {
      const directory = isDirectory(native, source)
      const ids = { idMapped: idMapped && hasUserNamespace && !host.idMapping.single }
      const fd = mounts.cloneAt(source, '', { ...ids, recursive, attr, propagation })
      binds.set(mount.destination, { slot: descriptors.own(fd), directory })
    } finally {
      native.close(source)
    }
  }
  return binds
}

/** Looks whether the sources of mounts are there. @throws {InvalidOptionError} */
export function checkSources(native: Native, mounts: readonly NormalizedMount[]): void {
  for (const [i, mount] of mounts.entries()) {
    if (mount.type === 'tmpfs') continue
    const path = mount.type === 'bind' ? mount.source : mount.place?.path
    if (path === undefined) continue
    const whole = openOption(`mounts[${i}].source`, path, () => openSource(native, path, ''))
    native.close(whole)
    const { subpath } = mount
    if (subpath === null) continue
    native.close(openOption(`mounts[${i}].subpath`, subpath, () => openSource(native, path, subpath)))
  }
}

function openOption(option: string, value: string, open: () => number): number {
  try {
    return open()
  } catch (error) {
    const isSubpath = option.endsWith('.subpath')
    const expected = isSubpath ? 'a path that exists in the source' : 'a path that exists on the host'
    throw new InvalidOptionError(
      option,
      expected,
      value,
      isNativeError(error, 'ENOENT') ? 'create it first.' : undefined,
    )
  }
}

/** Opens what a mount shows. Links of a subpath are followed as if the source were the root directory. */
function openSource(native: Native, path: string, subpath: string): number {
  const { AT_FDCWD, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } = native.fsConstants
  const source = native.openat2(AT_FDCWD, path, { flags: O_PATH })
  if (subpath === '') return source
  try {
    return native.openat2(source, subpath, { flags: O_PATH, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS })
  } finally {
    native.close(source)
  }
}

function isDirectory(native: Native, fd: number): boolean {
  const { AT_EMPTY_PATH, S_IFMT, S_IFDIR } = native.fsConstants
  return (native.fstatat(fd, '', AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR
}
