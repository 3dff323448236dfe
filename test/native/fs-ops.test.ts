// SPDX-License-Identifier: MIT
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isNativeError } from '../../lib/launcher/fs-native.ts'
import { loadNative } from '../../lib/launcher/native.ts'
import { removeTree } from '../../lib/layer/remove-tree.ts'
import { needs } from '../helpers/needs.ts'

const native = loadNative()
const c = native.fsConstants

function place(t: TestContext): { dir: string; fd: number } {
  const dir = fs.mkdtempSync(join(tmpdir(), 'wherry-fs-'))
  const fd = native.openat2(c.AT_FDCWD, dir, { flags: c.O_DIRECTORY })
  t.after(() => {
    native.close(fd)
    fs.rmSync(dir, { recursive: true, force: true })
  })
  return { dir, fd }
}

/** The code a call fails with, or 'ok'. */
function outcome(call: () => unknown): string {
  try {
    call()
    return 'ok'
  } catch (error) {
    assert.ok(isNativeError(error), String(error))
    return error.code
  }
}

test('an error has the fields of one of Node, with errno positive', (t) => {
  const { fd } = place(t)
  assert.throws(() => native.openat2(fd, 'missing', { flags: 0 }), {
    code: 'ENOENT',
    errno: 2,
    syscall: 'openat2',
    path: 'missing',
    message: "ENOENT: No such file or directory, openat2 'missing'",
  })
  assert.throws(() => native.mkdirat(1.5, 'x', 0), TypeError)
  assert.throws(() => native.write(fd, new Uint8Array(4), 3, 2), TypeError)
  assert.equal(
    outcome(() => native.mkdirat(fd, 'a\0b', 0)),
    'EINVAL',
  )
  assert.equal(
    outcome(() => native.mkdirat(fd, 'a'.repeat(5000), 0)),
    'ENAMETOOLONG',
  )
})

for (const forceFallback of [false, true]) {
  const how = forceFallback ? 'walked' : 'openat2'

  test(`resolution keeps to its root: ${how}`, (t) => {
    const { dir, fd } = place(t)
    fs.mkdirSync(join(dir, 'root/sub/etc'), { recursive: true })
    fs.writeFileSync(join(dir, 'secret'), 'outside')
    fs.writeFileSync(join(dir, 'root/secret'), 'inside')
    fs.symlinkSync('../../../secret', join(dir, 'root/sub/up'))
    fs.symlinkSync('/secret', join(dir, 'root/sub/absolute'))
    fs.symlinkSync('sub', join(dir, 'root/plain'))
    fs.symlinkSync('loop', join(dir, 'root/loop'))
    fs.symlinkSync('new', join(dir, 'root/dangling'))
    const root = native.openat2(fd, 'root', { flags: c.O_PATH | c.O_DIRECTORY })
    t.after(() => native.close(root))
    const read = (path: string, resolve: number, flags = 0): string => {
      try {
        const opened = native.openat2(root, path, {
          flags,
          mode: flags & c.O_CREAT ? 0o600 : 0,
          resolve,
          forceFallback,
        })
        try {
          return fs.fstatSync(opened).isDirectory() ? 'dir' : fs.readFileSync(opened, 'utf8')
        } finally {
          native.close(opened)
        }
      } catch (error) {
        if (isNativeError(error)) return error.code
        throw error
      }
    }
    const rows: [path: string, inRoot: string, beneath: string, noLinks: string][] = [
      ['secret', 'inside', 'inside', 'inside'],
      ['../secret', 'inside', 'EXDEV', 'EXDEV'],
      ['/secret', 'inside', 'EXDEV', 'EXDEV'],
      ['sub/up', 'inside', 'EXDEV', 'ELOOP'],
      ['sub/absolute', 'inside', 'EXDEV', 'ELOOP'],
      ['plain/../secret', 'inside', 'inside', 'ELOOP'],
      ['plain/etc', 'dir', 'dir', 'ELOOP'],
      ['plain/etc/../../..', 'dir', 'EXDEV', 'ELOOP'],
      ['sub/', 'dir', 'dir', 'dir'],
      ['.', 'dir', 'dir', 'dir'],
      ['loop', 'ELOOP', 'ELOOP', 'ELOOP'],
      ['secret/', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR'],
      ['secret/x', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR'],
      ['missing/x', 'ENOENT', 'ENOENT', 'ENOENT'],
      ['', 'ENOENT', 'ENOENT', 'ENOENT'],
    ]
    for (const [path, inRoot, beneath, noLinks] of rows) {
      assert.equal(read(path, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS), inRoot, `${path} in root`)
      assert.equal(read(path, c.RESOLVE_BENEATH), beneath, `${path} beneath`)
      assert.equal(read(path, c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS), noLinks, `${path} without links`)
    }
    assert.equal(read('sub/up', c.RESOLVE_IN_ROOT, c.O_NOFOLLOW), 'ELOOP')
    assert.equal(read('dangling', c.RESOLVE_IN_ROOT, c.O_CREAT | c.O_EXCL | c.O_RDWR), 'EEXIST')
    assert.equal(read('dangling', c.RESOLVE_IN_ROOT, c.O_CREAT | c.O_RDWR), '')
    assert.ok(fs.existsSync(join(dir, 'root/new')))
  })
}

test('another file system is not entered', (t) => {
  const root = native.openat2(c.AT_FDCWD, '/', { flags: c.O_PATH })
  t.after(() => native.close(root))
  for (const forceFallback of [false, true]) {
    const resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_XDEV
    assert.equal(
      outcome(() => native.openat2(root, 'proc/self', { flags: c.O_PATH, resolve, forceFallback })),
      'EXDEV',
    )
  }
})

test('names are bytes', (t) => {
  const { fd } = place(t)
  const name = Buffer.from([0x6c, 0xe9])
  native.mkdirat(fd, name, 0o700)
  native.symlinkat(name, fd, 'link')
  assert.deepEqual(native.readlinkat(fd, 'link'), name)
  const listed = native.readdir(fd).find((entry) => entry.type === c.S_IFDIR)
  assert.deepEqual(listed?.name, name)
  native.renameat2(fd, name, fd, 'plain', c.RENAME_NOREPLACE)
  assert.equal(
    outcome(() => native.renameat2(fd, 'plain', fd, 'link', c.RENAME_NOREPLACE)),
    'EEXIST',
  )
  native.unlinkat(fd, 'plain', c.AT_REMOVEDIR)
})

test('content, size, modes and times', (t) => {
  const { dir, fd } = place(t)
  const file = native.openat2(fd, 'f', { flags: c.O_CREAT | c.O_EXCL | c.O_RDWR, mode: 0o600 })
  assert.equal(native.write(file, Buffer.from('abcdef'), 1, 3), 3)
  assert.equal(native.pwrite(file, Buffer.from('xyz'), 2, 1, 0), 1)
  native.ftruncate(file, 5)
  native.fsync(file)
  native.fdatasync(file)
  native.fchmod(file, 0o4750)
  native.futimens(file, null, -1n)
  assert.equal(fs.readFileSync(join(dir, 'f'), 'latin1'), 'zcd\0\0')
  const status = native.fstatat(fd, 'f')
  assert.deepEqual([status.mode, status.sizeBytes, status.nlink], [c.S_IFREG | 0o4750, 5, 1])
  assert.deepEqual(status.mtime, [-1, 999_999_999])
  native.utimensat(fd, 'f', [1, 2], [3, 4], c.AT_SYMLINK_NOFOLLOW)
  assert.deepEqual(native.fstatat(file, '', c.AT_EMPTY_PATH).mtime, [3, 4])
  native.linkat(fd, 'f', fd, 'g')
  assert.equal(native.fstatat(fd, 'g').nlink, 2)
  native.mknodat(fd, 'pipe', c.S_IFIFO | 0o600)
  native.fchmodat(fd, 'pipe', 0o644, c.AT_SYMLINK_NOFOLLOW)
  assert.equal(native.fstatat(fd, 'pipe').mode, c.S_IFIFO | 0o644)
  assert.throws(() => native.futimens(file, null, [0, 1e9]), TypeError)
  native.close(file)
  assert.equal(
    outcome(() => native.close(file)),
    'EBADF',
  )
})

test('owners and devices', (t) => {
  if (!needs(t, 'root')) return
  const { fd } = place(t)
  native.symlinkat('nowhere', fd, 'link')
  native.fchownat(fd, 'link', 4_000_000_000, 7, c.AT_SYMLINK_NOFOLLOW)
  const status = native.fstatat(fd, 'link', c.AT_SYMLINK_NOFOLLOW)
  assert.deepEqual([status.uid, status.gid], [4_000_000_000, 7])
  native.mknodat(fd, 'null', c.S_IFCHR | 0o666, 1, 3)
  const device = native.fstatat(fd, 'null')
  assert.deepEqual([device.rdevMajor, device.rdevMinor], [1, 3])
})

test('extended attributes', (t) => {
  const { fd } = place(t)
  native.fsetxattr(fd, 'user.a', Buffer.from([0, 1]))
  assert.deepEqual(native.fgetxattr(fd, 'user.a'), Buffer.from([0, 1]))
  assert.equal(native.fgetxattr(fd, 'user.none'), undefined)
  native.mkdirat(fd, 'd', 0o700)
  native.lsetxattrat(fd, 'd', 'user.b', Buffer.alloc(0))
  assert.deepEqual(native.llistxattrat(fd, 'd'), ['user.b'])
  assert.deepEqual(native.lgetxattrat(fd, 'd', 'user.b'), Buffer.alloc(0))
  assert.equal(
    outcome(() => native.lsetxattrat(fd, '../x', 'user.b', Buffer.alloc(0))),
    'EINVAL',
  )
  native.fremovexattr(fd, 'user.a')
  assert.deepEqual(native.flistxattr(fd), [])
})

test('OFD locks belong to the open file, not to the process', (t) => {
  const { fd } = place(t)
  const open = () => native.openat2(fd, 'lock', { flags: c.O_CREAT | c.O_RDWR, mode: 0o600 })
  const [a, b] = [open(), open()]
  assert.equal(native.ofdLock(a, 'read'), true)
  assert.equal(native.ofdLock(b, 'read'), true)
  assert.equal(native.ofdLock(b, 'write'), false)
  native.ofdLock(a, 'unlock')
  assert.equal(native.ofdLock(b, 'write'), true)
  assert.equal(native.ofdLock(a, 'read', { wait: false }), false)
  native.close(b)
  assert.equal(native.ofdLock(a, 'write'), true)
  native.close(a)
})

test('a tree is removed, however deep, links not followed', (t) => {
  const { dir, fd } = place(t)
  fs.mkdirSync(join(dir, 'keep'))
  fs.writeFileSync(join(dir, 'keep/file'), '')
  native.mkdirat(fd, 'tree', 0o700)
  let at = native.openat2(fd, 'tree', { flags: c.O_DIRECTORY })
  for (let i = 0; i < 3000; i++) {
    native.mkdirat(at, 'deep', 0o700)
    if (i % 100 === 0) native.symlinkat(join(dir, 'keep'), at, 'link')
    const next = native.openat2(at, 'deep', { flags: c.O_DIRECTORY })
    native.close(at)
    at = next
  }
  native.close(at)
  removeTree(native, fd, 'tree')
  removeTree(native, fd, 'tree')
  assert.deepEqual(fs.readdirSync(dir), ['keep'])
  assert.deepEqual(fs.readdirSync(join(dir, 'keep')), ['file'])
})
