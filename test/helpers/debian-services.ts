// SPDX-License-Identifier: MIT
import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from './package-root.ts'
import { runChild } from './run-child.ts'

const kPackages = ['procps', 'postgresql', 'redis-server', 'nginx-light']
const kTimeoutMs = 500_000

/** An archive of a root file system, or why there is none. */
export type DebianArchive = { path: string; reason?: undefined } | { path?: undefined; reason: string }

/**
 * Makes Debian's minimal system with procps, PostgreSQL, Redis and nginx, or finds the one that an earlier test file made: it takes two
 * minutes. It lies in build-ts/, which the next compilation empties. WHERRY_TEST_SERVICES_TAR names one that is there already.
 */
export async function debianServices(): Promise<DebianArchive> {
  const ready = process.env.WHERRY_TEST_SERVICES_TAR
  if (ready !== undefined) return { path: ready }
  const path = join(packageRoot(), 'build-ts/debian-services.tar')
  const isThere = await stat(path).catch(() => undefined)
  return isThere === undefined ? await bootstrap(path) : { path }
}

/** Debian's minimal system: the one that WHERRY_TEST_DEBIAN_TAR names, or {@link debianServices}, so that only one is made. */
export async function debianMinimal(): Promise<DebianArchive> {
  const ready = process.env.WHERRY_TEST_DEBIAN_TAR
  return ready === undefined ? await debianServices() : { path: ready }
}

async function bootstrap(path: string): Promise<DebianArchive> {
  // Whole or not at all: another file takes it as it is.
  const unfinished = `${path}.${process.pid}`
  const options = ['--variant=minbase', `--include=${kPackages.join(',')}`, '--format=tar', '--dpkgopt=force-unsafe-io']
  const apt = ['--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"']
  const all = [...options, ...apt, 'bookworm', unfinished]
  const { exitCode, stderr } = await runChild('mmdebstrap', all, { timeoutMs: kTimeoutMs })
  if (exitCode === 0) await rename(unfinished, path)
  else await rm(unfinished, { force: true })
  return exitCode === 0 ? { path } : { reason: `mmdebstrap failed: ${stderr.trim().slice(-300)}` }
}
