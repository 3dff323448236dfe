// SPDX-License-Identifier: MIT
// A kernel, or a sandbox, without openat2: layers are unpacked by the walk that stands in for it, and stay where they belong.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { layerPlace } from '../helpers/layer-fixture.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { needs } from '../helpers/needs.ts'
import { describeTree, makeRichTree } from '../helpers/rich-tree.ts'
import { runChild } from '../helpers/run-child.ts'

checkLeftovers()

const kProcess = fileURLToPath(import.meta.url.replace(/no-openat2\.test\.(js|ts)$/, 'import-process.$1'))

/** Imports archives, each as an image, in a process of its own in which every openat2 answers ENOSYS. */
async function importWithout(t: TestContext, archives: readonly string[]) {
  const { base } = layerPlace(t)
  const log = join(base, 'strace.log')
  const injection = ['-f', '-o', log, '-e', 'trace=openat2', '-e', 'inject=openat2:error=ENOSYS']
  const { exitCode, stdout, stderr } = await runChild(
    'strace',
    [...injection, process.execPath, kProcess, join(base, 'root'), ...archives],
    { timeoutMs: 60_000 },
  )
  assert.equal(exitCode, 0, stderr)
  const calls = fs
    .readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('openat2('))
  assert.ok(calls.length > 0 && calls.every((line) => line.includes('ENOSYS') || line.includes('unfinished')), calls[0])
  return JSON.parse(stdout) as { fs?: string; error?: string }[]
}

test('an image is unpacked as with openat2', async (t) => {
  if (!needs(t, 'root', 'command:strace', 'command:tar', 'command:getfattr')) return
  const { base } = layerPlace(t)
  const tree = join(base, 'tree')
  const archive = join(base, 'tree.tar')
  makeRichTree(tree)
  execFileSync('tar', ['-cf', archive, '--format=posix', '--xattrs', '-C', tree, '.'])
  const [result] = await importWithout(t, [archive])
  assert.equal(describeTree(result?.fs ?? ''), describeTree(tree))
})

test('archives that lead outside by symbolic and hard links do not get there', async (t) => {
  if (!needs(t, 'root', 'command:strace')) return
  const { base } = layerPlace(t)
  const outside = join(base, 'outside')
  const hostile = [outside, '../'.repeat(30) + outside.slice(1)].map((linkName, index) => {
    const path = join(base, `hostile-${index}.tar`)
    fs.writeFileSync(
      path,
      makeTar([
        { name: 'link', type: '2', linkName },
        { name: 'x', pax: { path: 'link/made' }, body: 'evil' },
        { name: 'link/.wh.file' },
        { name: 'link/dir/', type: '5', mode: 0o777 },
        { name: 'x', pax: { path: `link${outside}/file` }, body: 'evil' },
        // The last component is a link too: to be replaced, not followed.
        { name: 'file', type: '2', linkName: join(outside, 'file') },
        { name: 'file', body: 'evil' },
      ]),
    )
    return path
  })
  const stealing = join(base, 'stealing.tar')
  fs.writeFileSync(stealing, makeTar([{ name: 'stolen', type: '1', linkName: join('..', '..', 'outside', 'file') }]))
  const results = await importWithout(t, [...hostile, stealing])
  for (const result of results.slice(0, 2)) {
    assert.equal(fs.readFileSync(join(result.fs ?? '', 'file'), 'utf8'), 'evil')
    assert.ok(fs.lstatSync(join(result.fs ?? '', 'link')).isSymbolicLink())
  }
  assert.match(results[2]?.error ?? '', /LayerError: .*outside of the layer/)
  assert.deepEqual(fs.readdirSync(outside), ['file'])
  assert.equal(fs.readFileSync(join(outside, 'file'), 'utf8'), 'untouched')
  assert.equal(fs.statSync(join(outside, 'file')).nlink, 1)
})
