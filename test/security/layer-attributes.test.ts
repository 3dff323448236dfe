import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { LayerError } from '../../lib/errors.ts'
import { type LayerPlace, layerPlace } from '../helpers/layer-fixture.ts'
import { needs } from '../helpers/needs.ts'

function untouched(place: LayerPlace): void {
  assert.deepEqual(fs.readdirSync(join(place.base, 'outside')), ['file'])
  const file = join(place.base, 'outside', 'file')
  assert.equal(fs.readFileSync(file, 'utf8'), 'untouched')
  assert.equal(fs.statSync(file).nlink, 1)
}

test('attributes that overlayfs acts upon, and labels of the host, are not taken from a layer', async (t) => {
  if (!needs(t, 'command:getfattr')) return
  const place = layerPlace(t)
  const pax = {
    'SCHILY.xattr.user.overlay.redirect': '/../../etc',
    'SCHILY.xattr.user.overlay.opaque': 'y',
    'SCHILY.xattr.trusted.overlay.metacopy': '',
    'LIBARCHIVE.xattr.user.overlay.origin': 'eA',
    'SCHILY.xattr.security.selinux': 'system_u:object_r:shadow_t:s0',
    'SCHILY.xattr.user.fine': 'yes',
  }
  await place.unpack([
    { name: 'd', type: '5', pax },
    { name: 'f', pax },
  ])
  for (const name of ['d', 'f']) {
    const list = execFileSync('getfattr', ['-d', '-m', '-', name], { cwd: place.target, encoding: 'utf8' })
    assert.deepEqual(list.match(/^[a-z].*/gm), ['user.fine="yes"'])
  }
  untouched(place)
})

test('set-id bits and file capabilities survive the change of owner, and only then become effective', async (t) => {
  if (!needs(t, 'root', 'command:getfattr')) return
  const place = layerPlace(t)
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
  await place.unpack([
    {
      name: 'su',
      uid: 1000,
      gid: 1000,
      mode: 0o6755,
      body: 'x',
      pax: { 'SCHILY.xattr.security.capability': capability },
    },
  ])
  assert.equal(fs.statSync(join(place.target, 'su')).mode & 0o7777, 0o6755)
  const value = execFileSync('getfattr', ['-n', 'security.capability', '-e', 'hex', 'su'], { cwd: place.target })
  assert.ok(value.includes(capability.toString('hex')))
})

test('a device number out of range is refused, a device is only made where asked for', async (t) => {
  const place = layerPlace(t)
  const device = { name: 'dev', type: '4', deviceMajor: 4096, deviceMinor: 0 }
  if (process.getuid?.() === 0) await assert.rejects(place.unpack([device]), LayerError)
  await place.unpack([{ ...device, deviceMajor: 8 }], { ownerMap: 'current-user' })
  assert.deepEqual(fs.readdirSync(place.target), [])
})

test('an attribute that the kernel refuses is the fault of the archive', async (t) => {
  if (!needs(t, 'root')) return
  for (const [type, key, value] of [
    ['0', 'user.', 'x'],
    ['0', 'security.capability', 'short'],
  ] as const) {
    const place = layerPlace(t)
    await assert.rejects(place.unpack([{ name: 'f', type, pax: { [`SCHILY.xattr.${key}`]: value } }]), (error) => {
      assert.ok(error instanceof LayerError, String(error))
      assert.equal(error.entry, 'f')
      return true
    })
    assert.deepEqual(place.names(), ['layer.tar', 'outside'])
  }
})
