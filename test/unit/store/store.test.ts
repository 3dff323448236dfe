import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, lstat, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath, pid } from 'node:process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { SyscallError, TimeoutError, WherryError } from '../../../lib/errors.ts'
import { processStatus } from '../../../lib/host/process-status.ts'
import { loadNative } from '../../../lib/launcher/native.ts'
import { removeTree } from '../../../lib/store/remove-tree.ts'
import { Store } from '../../../lib/store/store.ts'
import { newRoot, openStore } from './open-root.ts'

const kChild = fileURLToPath(import.meta.url.replace(/store\.test\.(js|ts)$/, 'session-process.$1'))

async function startChild(
  t: TestContext,
  root: string,
  ...args: string[]
): Promise<{ child: ChildProcess; session: string }> {
  const child = spawn(execPath, [kChild, root, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, session: line.toString().trim() }
}

async function killChild(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function mode(path: string): Promise<string> {
  return ((await lstat(path)).mode & 0o7777).toString(8)
}

test('makes the layout with fixed modes, whatever the umask', async (t) => {
  const root = await newRoot(t)
  const umask = process.umask(0o077)
  t.after(() => process.umask(umask))
  await openStore(t, root)
  assert.equal(await mode(root), '711')
  for (const name of ['sessions', 'containers', 'layers', 'tmp', 'locks', 'networks', 'volumes']) {
    assert.equal(await mode(join(root, name)), '700', name)
  }
  assert.equal(await mode(join(root, 'oci/blobs/sha256')), '755')
  assert.deepEqual(JSON.parse(await readFile(join(root, 'oci/oci-layout'), 'utf8')), { imageLayoutVersion: '1.0.0' })
})

test('leaves nothing of a session after close', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const scratch = await store.session.createScratch()
  await mkdir(join(scratch.work, 'work'), { mode: 0 })
  assert.equal(await mode(scratch.upper), '755')
  assert.equal(await mode(scratch.dir), '700')
  await scratch.remove()
  const again = await store.session.createScratch()
  assert.notEqual(again.dir, scratch.dir)
  await store.close()
  assert.deepEqual(await readdir(join(root, 'sessions')), [])
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('a root that cannot be made is an error of its own, with a hint', async (t) => {
  const file = join(await newRoot(t), '..', 'file')
  await writeFile(file, '')
  await assert.rejects(Store.open({ root: join(file, 'root'), native: loadNative() }), (error: unknown) => {
    assert.ok(error instanceof SyscallError)
    assert.match(
      error.message,
      /^Opening the store .*: mkdir\(.*\) failed with E(?:NOTDIR|EXIST) .*Hint: choose a directory/,
    )
    return true
  })
})

test('refuses a root that others may write to, that is no directory, or that a newer version made', async (t) => {
  const root = await newRoot(t)
  await mkdir(root)
  await chmod(root, 0o777)
  const owner = (error: unknown): boolean => error instanceof WherryError && error.code === 'ERR_STORE_OWNER'
  await assert.rejects(Store.open({ root, native: loadNative() }), owner)
  await rename(root, `${root}.away`)
  await symlink('/', root)
  await assert.rejects(Store.open({ root, native: loadNative() }), owner)
  const newer = `${root}.newer`
  await mkdir(newer, { mode: 0o700 })
  await writeFile(join(newer, 'store.json'), '{"formatVersion":99}')
  await assert.rejects(Store.open({ root: newer, native: loadNative() }), (error) => {
    return error instanceof WherryError && error.code === 'ERR_STORE_VERSION' && /format 99/.test(error.message)
  })
})

test('repairs what a killed process left, and nothing of a live one', async (t) => {
  const root = await newRoot(t)
  const dead = await startChild(t, root)
  const live = await startChild(t, root)
  await killChild(dead.child)
  const store = await openStore(t, root)
  assert.deepEqual(store.repaired.deadSessions, [
    { id: dead.session, cgroups: ['/sys/fs/cgroup/a', '/sys/fs/cgroup/b'], pids: [{ pid: dead.child.pid }] },
  ])
  await store.idle()
  const sessions = await readdir(join(root, 'sessions'))
  assert.deepEqual(
    sessions.sort(),
    [live.session, `${live.session}.lock`, store.session.id, `${store.session.id}.lock`].sort(),
  )
  const tmp = await readdir(join(root, 'tmp'))
  assert.deepEqual(
    tmp.map((name) => name.split('.')[0]),
    [live.session],
  )
  await killChild(live.child)
  assert.equal((await store.repair()).deadSessions[0]?.id, live.session)
  await store.idle()
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
  assert.deepEqual((await store.repair()).deadSessions, [])
})

test('many make one root at once', async (t) => {
  for (let turn = 0; turn < 5; turn++) {
    const root = await newRoot(t)
    const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(t, root)))
    await Promise.all(stores.map((store) => store.idle()))
    for (const store of stores.slice(0, 2)) assert.deepEqual(await store.verify(), [])
    await Promise.all(stores.map((store) => store.close()))
  }
})

test('a dead session is repaired by one of many', async (t) => {
  const root = await newRoot(t)
  const dead = await startChild(t, root)
  await killChild(dead.child)
  const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(t, root)))
  assert.equal(stores.flatMap((store) => store.repaired.deadSessions).length, 1)
  await Promise.all(stores.map((store) => store.close()))
  assert.deepEqual(await readdir(join(root, 'sessions')), [])
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('marks containers as exited whose process is gone', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const ticks = (await processStatus(pid))?.startTimeTicks
  const states = {
    alive: { status: 'running', pid, startTimeTicks: ticks, name: 'kept' },
    reused: { status: 'running', pid, startTimeTicks: (ticks ?? 0) - 1, name: 'kept' },
    otherBoot: { status: 'paused', pid, startTimeTicks: ticks, bootId: 'x' },
    done: { status: 'exited', exitCode: 3 },
  }
  for (const [id, state] of Object.entries(states)) {
    await mkdir(join(root, 'containers', id))
    await writeFile(join(root, 'containers', id, 'state.json'), JSON.stringify(state))
  }
  await mkdir(join(root, 'containers/garbage'))
  await writeFile(join(root, 'containers/garbage/state.json'), '{"status":')
  const { exitedContainers } = await store.repair()
  assert.deepEqual([...exitedContainers].sort(), ['otherBoot', 'reused'])
  const read = async (id: string) =>
    JSON.parse(await readFile(join(root, 'containers', id, 'state.json'), 'utf8')) as Record<string, unknown>
  assert.deepEqual(await read('alive'), states.alive)
  const reused = await read('reused')
  assert.equal(reused.status, 'exited')
  assert.equal(reused.name, 'kept')
  assert.deepEqual(await read('done'), states.done)
})

test('locks exclude within a process and between processes, and end with their holder', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  const other = await openStore(t, root)
  const first = await store.lock('test', { mode: 'read' })
  const second = await other.lock('test', { mode: 'read' })
  await assert.rejects(store.lock('test', { timeoutMs: 20 }), TimeoutError)
  await assert.rejects(store.lock('test', { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  await first.release()
  const waiting = store.lock('test')
  await second.release()
  await (await waiting).release()
  const { child } = await startChild(t, root, 'lock')
  await assert.rejects(store.lock('test', { timeoutMs: 20 }), TimeoutError)
  await killChild(child)
  await (await store.lock('test')).release()
})

test('an unknown entry in tmp/ goes, discard is at once', async (t) => {
  const root = await newRoot(t)
  const store = await openStore(t, root)
  await mkdir(join(root, 'tmp/stray/deep'), { recursive: true })
  await mkdir(join(root, 'volumes/v/x'), { recursive: true })
  const discarded = store.discard(join(root, 'volumes/v'))
  await discarded
  assert.deepEqual(await readdir(join(root, 'volumes')), [])
  await store.discard(join(root, 'volumes/none'))
  await store.repair()
  await store.idle()
  assert.deepEqual(await readdir(join(root, 'tmp')), [])
})

test('removeTree manages closed directories, odd names and trees deeper than a path', async (t) => {
  const root = await newRoot(t)
  await mkdir(join(root, 'closed/inner'), { recursive: true })
  await chmod(join(root, 'closed'), 0)
  await mkdir(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe, 0x0a])]))
  await mkdir(`${root}.outside`)
  await writeFile(`${root}.outside/kept`, '')
  await symlink(`${root}.outside`, join(root, 'link'))
  // Built from the inside out: each level is moved into a new parent, so that no path gets long.
  const part = 'd'.repeat(200)
  await mkdir(join(root, 'deep'))
  for (let level = 0; level < 40; level++) {
    await mkdir(join(root, 'next'))
    await rename(join(root, 'deep'), join(root, 'next', part))
    await rename(join(root, 'next'), join(root, 'deep'))
  }
  await removeTree(root)
  await assert.rejects(lstat(root), { code: 'ENOENT' })
  assert.deepEqual(await readdir(`${root}.outside`), ['kept'])
  await removeTree(root)
})
