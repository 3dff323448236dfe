// SPDX-License-Identifier: MIT
// What the tests of containers that outlast a call share.
import assert from 'node:assert/strict'
import type { Container } from '../../lib/container.ts'

/** Ends with the given code at SIGTERM; says "ready" once that works. */
export function untilTerm(exitCode = 0): string[] {
  return ['/probe', 'trap', '15', String(exitCode)]
}

/** Waits until a container has written a line. @returns it */
export async function firstLine(container: Container): Promise<string> {
  for await (const { line } of container.logs({ follow: true })) return line
  return assert.fail('it ended without a word')
}

/** The lines of a container's logs, each with its stream's first letter before it where `streams` is set. */
export async function linesOf(container: Container, options: Parameters<Container['logs']>[0] = {}): Promise<string[]> {
  const lines: string[] = []
  for await (const { line } of container.logs(options)) lines.push(line)
  return lines
}
