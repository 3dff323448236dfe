// SPDX-License-Identifier: MIT
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findExecutable } from '../command.ts'
import { isHybridHost } from '../files.ts'
import { bundleConfig, kDefaultCapabilities } from '../oci-bundle.ts'
import { resolveDockerSeccomp } from '../seccomp.ts'
import { SkipError, type SubjectContext } from '../subject.ts'

/** The command-line runtimes of the OCI runtime specification. */
export type OciRuntime = 'crun' | 'runc'

const kFirstHostId = 100_000

/** Finds a runtime. @throws {SkipError} where it is missing, or would refuse this host. */
export async function findRuntime(name: OciRuntime): Promise<string> {
  if (process.getuid?.() !== 0) throw new SkipError(`${name} needs root here`)
  const executable = await findExecutable(name)
  if (executable === undefined) throw new SkipError(`${name} is not installed`)
  if (name === 'crun' && (await isHybridHost())) throw new SkipError('crun refuses a host with cgroup v1 and v2')
  return executable
}

/** Writes a bundle on the fixtures' root file system, with Docker's seccomp profile where there is one. */
export async function writeBundle(
  directory: string,
  { seccompSource, rootfs }: SubjectContext,
  options: { args: readonly string[]; cgroupsPath: string },
): Promise<void> {
  const seccomp =
    seccompSource === undefined
      ? {}
      : { seccomp: resolveDockerSeccomp(seccompSource, process.arch, kDefaultCapabilities) }
  await mkdir(directory, { recursive: true })
  const config = bundleConfig({ ...options, rootfs, firstHostId: kFirstHostId, ...seccomp })
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
}
