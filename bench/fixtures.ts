// SPDX-License-Identifier: MIT
import { chmod, copyFile, mkdir, open, symlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { findExecutable, requireSuccess } from './command.ts'
import { readIfThere } from './files.ts'

/** The files that every subject is given. */
export interface Fixtures {
  rootfs: string
  rootfsTar: string
}

const kMountPoints = ['proc', 'sys', 'dev', 'dev/pts', 'dev/shm', 'dev/mqueue', 'tmp', 'etc', 'run']

/**
 * Makes a root file system of one static busybox below `directory`, and a tar of it.
 * The mount points are there already: inside a user namespace nobody may add them to a directory of the host's root.
 * @throws {Error} where no static busybox is installed
 */
export async function makeFixtures(directory: string): Promise<Fixtures> {
  const busybox = await findExecutable('busybox')
  if (busybox === undefined || !(await isStaticExecutable(busybox))) {
    throw new Error('no static busybox in PATH. Hint: apt-get install busybox-static')
  }
  const rootfs = join(directory, 'rootfs')
  await mkdir(join(rootfs, 'bin'), { recursive: true })
  for (const path of kMountPoints) await mkdir(join(rootfs, path), { recursive: true })
  await copyFile(busybox, join(rootfs, 'bin/busybox'))
  await chmod(join(rootfs, 'bin/busybox'), 0o755)
  for (const applet of ['true', 'sh', 'sleep']) await symlink('busybox', join(rootfs, 'bin', applet))
  const rootfsTar = join(directory, 'rootfs.tar')
  await requireSuccess('tar', ['-C', rootfs, '--numeric-owner', '--owner=0', '--group=0', '-cf', rootfsTar, '.'])
  return { rootfs, rootfsTar }
}

/**
 * Finds Docker's seccomp profile: a folder of data beside the project, which a user's clone may lack.
 * @returns the parsed JSON, or undefined
 */
export async function findSeccompSource(packageRoot: string): Promise<unknown> {
  const text = await readIfThere(resolve(packageRoot, '../shared/data/seccomp-docker-default.json'))
  return text === undefined ? undefined : JSON.parse(text)
}

/** Finds the directory of package.json above a compiled file. */
export async function findPackageRoot(from: string): Promise<string> {
  for (let directory = from; ; directory = dirname(directory)) {
    const text = await readIfThere(join(directory, 'package.json'))
    if (text !== undefined && (JSON.parse(text) as { name?: string }).name === 'wherry') return directory
    if (directory === dirname(directory)) throw new Error(`no package.json of wherry above ${from}`)
  }
}

/**
 * Whether a 64-bit little-endian ELF file asks for no interpreter.
 * @source elf(5)
 */
async function isStaticExecutable(path: string): Promise<boolean> {
  const kInterpreter = 3
  await using file = await open(path)
  const header = Buffer.alloc(64)
  await file.read(header, 0, 64, 0)
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2) return false
  const tableOffset = Number(header.readBigUInt64LE(32))
  const entrySize = header.readUInt16LE(54)
  const table = Buffer.alloc(entrySize * header.readUInt16LE(56))
  await file.read(table, 0, table.length, tableOffset)
  for (let offset = 0; offset < table.length; offset += entrySize) {
    if (table.readUInt32LE(offset) === kInterpreter) return false
  }
  return true
}
