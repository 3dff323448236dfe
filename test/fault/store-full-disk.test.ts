// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine } from '../../lib/engine.ts'
import { Image } from '../../lib/image.ts'
import { checkLeftovers } from '../helpers/leftovers.ts'
import { makeTar } from '../helpers/make-tar.ts'
import { needs } from '../helpers/needs.ts'
import { runOk } from '../helpers/run-child.ts'
import { tempDir } from '../integration/image-fixtures.ts'

checkLeftovers()

const kChild = fileURLToPath(new URL('./full-disk-process.js', import.meta.url))
const kMegabyte = 1024 * 1024
/** Of 8 MB: the small one is there twice, packed and unpacked, and does not fit a third time. */
const kSizes = { small: 3 * kMegabyte, middle: 1.5 * kMegabyte, large: 4 * kMegabyte }

interface Attempt {
  outcome: { name: string; code: string; message: string } | 'done'
  faults: unknown[]
  tags: string[]
  tmp: string[]
}

test('a full disk gives ENOSPC, and leaves the store as it was', async (t) => {
  if (!needs(t, 'root', 'command:unshare')) return
  const dir = await tempDir(t)
  const [disk, archives] = [join(dir, 'disk'), join(dir, 'archives')]
  await mkdir(disk)
  await mkdir(archives)
  {
    await using engine = await Engine.open({ root: join(dir, 'maker') })
    for (const [name, bytes] of Object.entries(kSizes)) {
      const tar = join(archives, `${name}-rootfs.tar`)
      await writeFile(tar, makeTar([{ name: 'file', body: randomBytes(bytes) }]))
      await (await Image.import(tar, { engine, reference: `made:${name}` })).save(join(archives, `${name}.tar`))
    }
  }
  // The mount is in a namespace of the child's own, and goes with it.
  const script = 'mount -t tmpfs -o size=8m,mode=755 tmpfs "$1" && exec "$2" "$3" "$1" "$4"'
  const args = ['--mount', 'sh', '-ec', script, 'sh', disk, execPath, kChild, archives]
  const { names, ...attempts } = JSON.parse(await runOk('unshare', args)) as { names: string[] } & Record<string, never>
  assert.deepEqual(Object.keys(attempts), ['small', 'archive', 'unpack', 'import', 'save', 'folder', 'tag', 'open'])
  for (const [name, attempt] of Object.entries(attempts as Record<string, Attempt>)) {
    assert.deepEqual(attempt.faults, [], name)
    assert.deepEqual(attempt.tags, ['docker.io/library/made:small'], name)
    assert.deepEqual(attempt.tmp, [], name)
    if (name === 'small') assert.equal(attempt.outcome, 'done')
    else {
      assert.ok(attempt.outcome !== 'done', `${name} fitted`)
      assert.deepEqual(
        [attempt.outcome.name, attempt.outcome.code],
        ['SyscallError', 'ENOSPC'],
        JSON.stringify(attempt.outcome),
      )
      assert.match(attempt.outcome.message, /ENOSPC/)
    }
  }
  assert.deepEqual(names, ['root'])
})
