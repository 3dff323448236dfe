// SPDX-License-Identifier: MIT
import { readFile } from 'node:fs/promises'
import { argv, memoryUsage, stdin, stdout } from 'node:process'
import { serveRegistry } from '../../lib/registry-server/registry-server.ts'

// A registry in a process of its own: prints its port, and at its end (when standard input closes) the largest resident size.
const server = await serveRegistry({ root: argv[2] ?? '' })
let largest = 0
const base = memoryUsage.rss()
const sampler = setInterval(() => {
  largest = Math.max(largest, memoryUsage.rss() - base)
}, 20)
stdout.write(`${server.port}\n`)
stdin.resume().on('end', () => {
  clearInterval(sampler)
  void server.close().then(async () => {
    // The kernel's own book, which misses no peak.
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1]
    stdout.write(`${JSON.stringify({ growth: Math.max(largest, Number(peak) * 1024 - base) })}\n`)
  })
})
