import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { loadNative } from '../../../lib/launcher/native.ts'
import { Store } from '../../../lib/store/store.ts'

/** A new path for a store's root; gone after the test. */
export async function newRoot(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'wherry-store-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return join(dir, 'root')
}

/** Opens a store with the real addon; closed after the test, unless the test did. */
export async function openStore(t: TestContext, root: string): Promise<Store> {
  const store = await Store.open({ root, native: loadNative() })
  let closed = false
  const close = store.close.bind(store)
  store.close = async () => {
    if (closed) return
    closed = true
    await close()
  }
  t.after(() => store.close())
  return store
}
