// SPDX-License-Identifier: MIT
import type { Engine } from './engine.ts'

/** What happens to images, in Docker's words. */
type ImageAction = 'delete' | 'import' | 'load' | 'pull' | 'push' | 'save' | 'tag' | 'untag'

/** Tells what has happened to an image; `name` is the reference that it happened by. */
export function tellImage(engine: Engine, action: ImageAction, id: string, name: string = id): Promise<void> {
  return engine.store.events.tell({ type: 'image', action, id, name })
}
