// SPDX-License-Identifier: MIT
import { posix } from 'node:path'
import { InvalidOptionError } from '../errors.ts'
import type { NormalizedContainerOptions } from '../options/container-options.ts'
import type { ImageConfig } from './image-config.ts'
import { parseSignal } from './signals.ts'

/** The part of an image's configuration that says how its containers run. */
export type ImageRunConfig = Partial<Pick<ImageConfig['config'], 'User' | 'Env' | 'Entrypoint' | 'Cmd' | 'Volumes'>> &
  Partial<Pick<ImageConfig['config'], 'WorkingDir' | 'Labels' | 'StopSignal'>>

/** What image and options say together; names of users and files are not looked up yet. */
export interface MergedConfig {
  /** Executable and arguments; never empty. */
  args: string[]
  /** Variables of options and image, without those that depend on the container. `null`: taken away. */
  env: ReadonlyMap<string, string | null>
  /** Absolute path inside. */
  cwd: string
  /** As in the option `user`; empty is root. */
  user: string
  /** Signal number. */
  stopSignal: number
  labels: Record<string, string>
  /** Absolute paths inside that the image wants as volumes, sorted. */
  volumes: string[]
}

/** Search path of a container whose image sets none. */
export const kDefaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const kSigterm = 15

/**
 * Merges an image's configuration with options by Docker's rules:
 *
 * - a given entrypoint lets the image's command lapse; a given command replaces the image's command;
 * - variables of the options go over those of the image, name by name; `PATH` has a default;
 * - everything else of the options replaces what the image says; labels are joined.
 *
 * @throws {InvalidOptionError} when neither names a command, or the image's configuration holds what the kernel cannot take.
 */
export function mergeConfig(options: NormalizedContainerOptions, image: ImageRunConfig): MergedConfig {
  checkImage(image)
  return {
    args: mergeCommand(options, image),
    env: mergeEnv(options, image.Env ?? []),
    cwd: options.cwd ?? absolute(image.WorkingDir ?? ''),
    user: options.user ?? image.User ?? '',
    stopSignal: stopSignalOf(options, image),
    labels: { ...image.Labels, ...options.labels },
    volumes: imageVolumes(image),
  }
}

/** Number of the signal that asks a container to end. */
export function stopSignalOf(options: Pick<NormalizedContainerOptions, 'stopSignal'>, image: ImageRunConfig): number {
  return options.stopSignal ?? parseSignal(image.StopSignal ?? '') ?? kSigterm
}

/** Paths that an image wants as volumes: absolute, sorted. */
export function imageVolumes({ Volumes }: ImageRunConfig): string[] {
  return [...new Set(Object.keys(Volumes ?? {}).map(absolute))].filter((path) => path !== '/').sort()
}

/**
 * Lists the environment of the first process in Docker's order: PATH, HOSTNAME, TERM (with a terminal), the options', the
 * image's, then HOME when nothing else sets it.
 */
export function containerEnv(
  env: MergedConfig['env'],
  container: { hostname: string; tty: boolean; home: string },
): string[] {
  const all = new Map<string, string | null>([
    ['PATH', kDefaultPath],
    ['HOSTNAME', container.hostname],
  ])
  if (container.tty) all.set('TERM', 'xterm')
  for (const [name, value] of env) all.set(name, value)
  if (!all.get('HOME') && !(all.has('HOME') && all.get('HOME') === null)) all.set('HOME', container.home)
  return [...all].flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]))
}

function mergeCommand(options: NormalizedContainerOptions, image: ImageRunConfig): string[] {
  const given = options.entrypoint
  const command = options.command ?? (given === null || given.length === 0 ? (image.Cmd ?? []) : [])
  const entrypoint = given ?? image.Entrypoint ?? []
  const args = [...(entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint), ...command]
  if (args.length === 0) {
    throw new InvalidOptionError('command', 'a command, because the image names none', undefined)
  }
  if (args[0] === '') throw new InvalidOptionError('command', 'an executable that is not empty', '')
  return args
}

function mergeEnv(options: NormalizedContainerOptions, imageEnv: readonly string[]): Map<string, string | null> {
  const env = new Map(options.env)
  const fromImage = new Map<string, string | null>()
  for (const entry of imageEnv) {
    const equals = entry.indexOf('=')
    // An entry without a value takes the variable away; one without a name means nothing.
    if (equals < 0) fromImage.set(entry, null)
    else if (equals > 0) fromImage.set(entry.slice(0, equals), entry.slice(equals + 1))
  }
  for (const [name, value] of fromImage) {
    if (!env.has(name)) env.set(name, value)
  }
  return env
}

function absolute(path: string): string {
  const normal = posix.normalize(`/${path}`).replace(/^\/+/, '/')
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** JSON can hold a NUL that would end a string in the kernel, and say something else than what was looked at. */
function checkImage(image: ImageRunConfig): void {
  const texts: [string, readonly string[]][] = [
    ['Entrypoint', image.Entrypoint ?? []],
    ['Cmd', image.Cmd ?? []],
    ['Env', image.Env ?? []],
    ['WorkingDir', [image.WorkingDir ?? '']],
    ['User', [image.User ?? '']],
    ['Volumes', Object.keys(image.Volumes ?? {})],
  ]
  for (const [name, values] of texts) {
    if (values.some((value) => value.includes('\0'))) {
      throw new InvalidOptionError(`image configuration ${name}`, 'text without NUL bytes', '(hidden)')
    }
  }
}
