// SPDX-License-Identifier: MIT
import { resolve } from 'node:path'
import type { BindMountOptions, MountOptions, TmpfsMountOptions, VolumeMountOptions } from '../../index.ts'
import { CliError, kFlagError } from '../errors.ts'

const kPropagations = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'] as const
type Propagation = (typeof kPropagations)[number]

/**
 * Parses `-v [source:]target[:options]`: a source with a slash or dot at its start is a path of the host, any other the name of a
 * volume; without one, the volume is anonymous.
 *
 * @param cwd - what a relative source is relative to.
 * @throws {CliError}
 */
export function parseVolume(text: string, cwd: string): BindMountOptions | VolumeMountOptions {
  const [source = '', target, options = '', ...more] = text.split(':')
  if (more.length > 0) throw wrong('volume', text, 'it has more than two colons')
  if (target === undefined) return { type: 'volume', target: source }
  const words = options === '' ? [] : options.split(',')
  if (!/^[./]/.test(source)) {
    if (source.includes('/'))
      throw wrong('volume', text, kNoName, `for a directory of the host: -v ./${source}:${target}`)
    const volume: VolumeMountOptions = { type: 'volume', source, target }
    for (const option of words) setVolumeOption(volume, option, text)
    return volume
  }
  const mount: BindMountOptions = { type: 'bind', source: resolve(cwd, source), target }
  for (const option of words) setBindOption(mount, option, text)
  return mount
}

const kNoName = 'names of volumes have no slashes'

function setVolumeOption(mount: VolumeMountOptions, option: string, text: string): void {
  if (option === 'ro') mount.readOnly = true
  else if (option === 'nocopy') mount.noCopy = true
  else if (!['rw', 'z', 'Z'].includes(option)) throw wrong('volume', text, `'${option}' is not supported for volumes`)
}

function setBindOption(mount: BindMountOptions, option: string, text: string): void {
  const propagation = kPropagations.find((word) => word === option)
  if (propagation !== undefined) mount.propagation = propagation
  else if (option === 'ro') mount.readOnly = true
  else if (option === 'noexec') mount.noExec = true
  // Labels of SELinux: wherry gives processes none, so that files need none.
  else if (!['rw', 'z', 'Z', 'rbind', 'exec'].includes(option))
    throw wrong('volume', text, `'${option}' is not supported`)
}

/** Parses `--mount type=bind,source=…,target=…`. @throws {CliError} */
export function parseMount(text: string, cwd: string): MountOptions {
  const fields = new Map<string, string>()
  for (const part of text.split(',')) {
    const equals = part.indexOf('=')
    const [name, value] = equals < 0 ? [part, 'true'] : [part.slice(0, equals), part.slice(equals + 1)]
    fields.set(kMountAliases[name.toLowerCase()] ?? name.toLowerCase(), value)
  }
  const type = fields.get('type') ?? 'volume'
  fields.delete('type')
  if (type === 'bind') return bindOf(fields, text, cwd)
  if (type === 'tmpfs') return tmpfsOf(fields, text)
  if (type === 'volume') return volumeOf(fields, text)
  throw wrong('mount', text, `type '${type}' is not supported`, "types are 'bind', 'volume' and 'tmpfs'")
}

const kMountAliases: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
}

function bindOf(fields: ReadonlyMap<string, string>, text: string, cwd: string): BindMountOptions {
  const mount: BindMountOptions = { type: 'bind', source: '', target: '' }
  for (const [name, value] of fields) {
    if (name === 'source') mount.source = resolve(cwd, value)
    else if (name === 'target') mount.target = value
    else if (name === 'readonly') mount.readOnly = isTrue(value)
    else if (name === 'bind-propagation') mount.propagation = propagationOf(value, text)
    else if (name === 'bind-nonrecursive') mount.recursive = !isTrue(value)
    else throw wrong('mount', text, `'${name}' is not supported`)
  }
  if (mount.source === '' || mount.target === '') throw wrong('mount', text, 'it needs a source and a target')
  return mount
}

function volumeOf(fields: ReadonlyMap<string, string>, text: string): VolumeMountOptions {
  const mount: VolumeMountOptions = { type: 'volume', target: '' }
  for (const [name, value] of fields) {
    if (name === 'source') mount.source = value
    else if (name === 'target') mount.target = value
    else if (name === 'readonly') mount.readOnly = isTrue(value)
    else if (name === 'volume-nocopy') mount.noCopy = isTrue(value)
    else if (name === 'volume-subpath') mount.subpath = value
    else if (name !== 'volume-driver' || value !== 'local') throw wrong('mount', text, `'${name}' is not supported`)
  }
  if (mount.target === '') throw wrong('mount', text, 'it needs a target')
  return mount
}

function tmpfsOf(fields: ReadonlyMap<string, string>, text: string): TmpfsMountOptions {
  const mount: TmpfsMountOptions = { type: 'tmpfs', target: '' }
  for (const [name, value] of fields) {
    if (name === 'target') mount.target = value
    else if (name === 'readonly') mount.readOnly = isTrue(value)
    else if (name === 'tmpfs-size') mount.size = value
    else if (name === 'tmpfs-mode') mount.mode = modeOf(value, 'mount', text)
    else throw wrong('mount', text, `'${name}' is not supported`)
  }
  if (mount.target === '') throw wrong('mount', text, 'it needs a target')
  return mount
}

/** Parses `--tmpfs target[:size=64m,mode=1777,ro,exec]`. @throws {CliError} */
export function parseTmpfs(text: string): TmpfsMountOptions {
  const [target = '', options = '', ...more] = text.split(':')
  if (more.length > 0) throw wrong('tmpfs', text, 'it has more than one colon')
  const mount: TmpfsMountOptions = { type: 'tmpfs', target }
  for (const option of options === '' ? [] : options.split(',')) {
    const [name, value = ''] = option.split('=')
    if (name === 'size') mount.size = value
    else if (name === 'mode') mount.mode = modeOf(value, 'tmpfs', text)
    else if (option === 'ro') mount.readOnly = true
    else if (option === 'exec') mount.noExec = false
    // What they are anyway.
    else if (!['rw', 'noexec', 'nosuid', 'nodev'].includes(option))
      throw wrong('tmpfs', text, `'${option}' is not supported`)
  }
  return mount
}

function modeOf(value: string, flag: string, text: string): number {
  if (!/^[0-7]{3,4}$/.test(value)) throw wrong(flag, text, `the mode '${value}' is not an octal number`)
  return Number.parseInt(value, 8)
}

function propagationOf(value: string, text: string): Propagation {
  const found = kPropagations.find((word) => word === value)
  if (found === undefined) throw wrong('mount', text, `there is no propagation '${value}'`)
  return found
}

function isTrue(value: string): boolean {
  return /^(true|1)$/i.test(value)
}

function wrong(flag: string, text: string, reason: string, hint?: string): CliError {
  return new CliError(`Invalid value '${text}' of '--${flag}': ${reason}.`, { exitCode: kFlagError, hint })
}
