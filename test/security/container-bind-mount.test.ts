// SPDX-License-Identifier: MIT
// The container's root against files of the host's root that are bound into it.
// Checked: with userns: 'host' every one of these writes succeeds, which the last test shows.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { needsContainers } from '../integration/rootfs.ts'
import { useAttack } from './container-attacks.ts'

const attack = useAttack()
const kAttempts = `cat /bound/secret && echo GOT
echo x >> /bound/secret && echo GOT
echo x > /bound/new && echo GOT
chmod 666 /bound/secret && echo GOT
chown 0:0 /bound/secret && echo GOT
rm -f /bound/secret && echo GOT
mv /bound/secret /bound/other && echo GOT
ln /bound/secret /bound/link && echo GOT
mknod /bound/device b 8 0 && echo GOT
umount /bound && echo GOT
echo done`

test('files of the host that root owns', async (t) => {
  if (!needsContainers(t)) return
  const dir = mkdtempSync(join(attack.dir, 'bound-'))
  const secret = join(dir, 'secret')
  writeFileSync(secret, 'secret of the host', { mode: 0o600 })
  const output = await attack.sh(kAttempts, { mounts: [{ type: 'bind', source: dir, target: '/bound' }] })
  assert.doesNotMatch(output, /GOT|secret of the host/)
  assert.match(output, /done/)
  assert.deepEqual(readdirSync(dir), ['secret'])
  assert.equal(readFileSync(secret, 'utf8'), 'secret of the host')
  const { mode, uid, gid } = statSync(secret)
  assert.deepEqual([mode & 0o777, uid, gid], [0o600, 0, 0])
})

test('a read-only bind stays read-only for a root without user namespace', async (t) => {
  if (!needsContainers(t)) return
  const dir = mkdtempSync(join(attack.dir, 'bound-'))
  writeFileSync(join(dir, 'secret'), 'x')
  const script = 'mount -o remount,rw,bind /bound; echo y > /bound/secret; touch /bound/new; cat /bound/secret'
  const output = await attack.sh(script, {
    userns: 'host',
    mounts: [{ type: 'bind', source: dir, target: '/bound', readOnly: true }],
  })
  assert.match(output, /Read-only file system/)
  assert.deepEqual(readdirSync(dir), ['secret'])
  assert.equal(readFileSync(join(dir, 'secret'), 'utf8'), 'x')
})

test('the user namespace is what protects them', async (t) => {
  if (!needsContainers(t)) return
  const dir = mkdtempSync(join(attack.dir, 'bound-'))
  writeFileSync(join(dir, 'secret'), 'secret of the host', { mode: 0o600 })
  const output = await attack.sh(kAttempts, {
    userns: 'host',
    mounts: [{ type: 'bind', source: dir, target: '/bound' }],
  })
  assert.match(output, /GOT/)
})
