// SPDX-License-Identifier: MIT

/** One way to run `/bin/true`, to be timed beside the others. */
export interface Subject {
  readonly name: string
  /**
   * Makes everything that is allowed to be there beforehand: images, bundles, daemons.
   * @throws {SkipError} when this host cannot have the subject
   */
  prepare(): Promise<void>
  /** Starts the program, waits for its exit and for the end of its output. May run several times at once. */
  trial(): Promise<void>
  /** Work after a trial that does not count, and that has to be done before the next. */
  afterTrial?(): Promise<void>
  /** Removes all that `prepare` and the trials made. Called after a failed `prepare` too. */
  dispose(): Promise<void>
}

/** What a subject is built from. */
export interface SubjectContext {
  /** A directory of this subject's own, removed by the caller after `dispose`. */
  directory: string
  /** A root file system with a static busybox. */
  rootfs: string
  /** The same as a tar. */
  rootfsTar: string
  /** Name for the cgroup below which the subject may make its own. */
  cgroupName: string
  /** Docker's seccomp profile, parsed, where there is one. */
  seccompSource: unknown
}

/** The cgroup below which a subject of a measuring process makes its own. */
export function cgroupNameOf(pid: number | undefined, subject: string): string {
  return `wherry-bench-${pid}-${subject}`
}

/** The host cannot run a subject; the message says why and stands in the table. */
export class SkipError extends Error {
  override readonly name = 'SkipError'
}
