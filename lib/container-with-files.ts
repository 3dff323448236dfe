// SPDX-License-Identifier: MIT
import type { Readable } from 'node:stream'
import {
  type ContainerChangesOptions,
  type ContainerCommitOptions,
  changesIn,
  commitFrom,
  type LayerChange,
} from './container-commit.ts'
import * as files from './container-files.ts'
import { type ContainerSnapshotOptions, snapshotOf } from './container-snapshot.ts'
import type { Engine } from './engine.ts'
import type { Image } from './image.ts'
import type { Template } from './template.ts'

/** A container as far as its files go, whether it runs or not. Paths are the container's: a relative one begins at its root. */
export abstract class ContainerFiles {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly #engine: Engine

  protected constructor(engine: Engine, id: string) {
    this.#engine = engine
    this.id = id
  }

  /**
   * Copies a file or folder of the host, a tar archive (a stream, plain) or the bytes of a file into the container, whether it runs or
   * not. `docker cp`'s rules say what a path becomes: a target that is a directory gets the source into it (its contents, when the
   * source ends in `/.`), any other becomes the source; parents must be there. A tar archive needs a directory.
   *
   * @param target - path in the container. Links lead where they lead for its own programs, never out of it.
   * @throws {SyscallError} ENOENT, ENOTDIR, EROFS, … @throws {LayerError} for a bad archive, naming the entry.
   */
  copyIn(
    source: string | Readable | Uint8Array,
    target: string,
    options?: files.ContainerCopyInOptions,
  ): Promise<void> {
    return files.copyInto(this.#engine, this.id, source, target, options)
  }

  /**
   * Copies a file or folder of the container to the host, by the same rules, or returns it as a tar archive. What is copied to the host
   * belongs to this process's user, without set-id bits and attributes; devices, FIFOs and sockets stay behind.
   *
   * @param target - path on the host; left out, a stream, which is to be read to its end or destroyed.
   * @throws {SyscallError} ENOENT, ENOTDIR, …
   */
  copyOut(source: string, target?: undefined, options?: files.ContainerFileOptions): Promise<Readable>
  copyOut(source: string, target: string, options?: files.ContainerCopyOutOptions): Promise<files.CopyOutcome>
  copyOut(
    source: string,
    target?: string,
    options?: files.ContainerCopyOutOptions,
  ): Promise<files.CopyOutcome | Readable> {
    return files.copyFrom(this.#engine, this.id, source, target, options)
  }

  /** The content of a regular file of the container. @throws {SyscallError} EFBIG over `maxBytes`; ENOENT, EISDIR, EINVAL, … */
  readFile(path: string, options: files.ContainerReadOptions & { encoding: BufferEncoding }): Promise<string>
  readFile(path: string, options?: files.ContainerReadOptions & { encoding?: undefined }): Promise<Buffer>
  readFile(path: string, options?: files.ContainerReadOptions): Promise<string | Buffer> {
    return files.readFileIn(this.#engine, this.id, path, options)
  }

  /** Writes a file of the container anew; one that is there keeps its owner and mode. @throws {SyscallError} */
  writeFile(path: string, data: string | Uint8Array, options?: files.ContainerWriteOptions): Promise<void> {
    return files.writeFileIn(this.#engine, this.id, path, data, options)
  }

  /** What is in a directory of the container, by name. @throws {SyscallError} */
  readdir(path: string, options?: files.ContainerFileOptions): Promise<files.ContainerDirectoryEntry[]> {
    return files.readdirIn(this.#engine, this.id, path, options)
  }

  /** What a path of the container is. @throws {SyscallError} ENOENT, … */
  stat(path: string, options?: files.ContainerStatOptions): Promise<files.ContainerFileStatus> {
    return files.statIn(this.#engine, this.id, path, options)
  }

  /** Whether there is something at a path, links followed. */
  exists(path: string, options?: files.ContainerFileOptions): Promise<boolean> {
    return files.existsIn(this.#engine, this.id, path, options)
  }

  /** Removes a file, or with `recursive` a directory too. @throws {SyscallError} ENOENT unless `force`, EISDIR, … */
  rm(path: string, options?: files.ContainerRmOptions): Promise<void> {
    return files.rmIn(this.#engine, this.id, path, options)
  }

  /** Makes a directory. @throws {SyscallError} EEXIST unless `recursive`, ENOENT, … */
  mkdir(path: string, options?: files.ContainerMkdirOptions): Promise<void> {
    return files.mkdirIn(this.#engine, this.id, path, options)
  }

  /** The whole root file system as a tar archive, without what is mounted in it. */
  export(options?: files.ContainerFileOptions): Readable {
    return files.exportFrom(this.#engine, this.id, options)
  }

  /**
   * What the container has changed in its image's files, as `docker diff`. Needs no mount, running or not.
   *
   * @throws {ConflictError} for a container of {@link Image.host}.
   */
  changes(options?: ContainerChangesOptions): Promise<readonly LayerChange[]> {
    return changesIn(this.#engine, this.id, options)
  }

  /**
   * Makes an image of the container's image and what the container has written since, paused meanwhile where it runs. What is mounted in
   * it is not part of it.
   *
   * @param reference - name of the image, such as `my/base:1`. @default none
   * @throws {ConflictError} for a container of {@link Image.host}. @throws {NotFoundError} when its image has been removed.
   * @throws {UnsupportedHostError} where it cannot be paused. @throws {InvalidReferenceError} @throws {LayerError}
   * @example
   * const image = await container.commit('my/prepared:1', { changes: { Cmd: ['/bin/server'] } })
   */
  commit(reference?: string, options?: ContainerCommitOptions): Promise<Image> {
    return commitFrom(this.#engine, this.id, reference, options)
  }

  /**
   * Takes its files as they are, paused meanwhile where it runs, as a template from which any number of containers start without
   * copying: see {@link Container.fork}. It takes the time that copying what the container has written takes, and the space twice. What is
   * mounted in it, volumes too, is not part of it.
   *
   * @throws {ConflictError} for a container of {@link Image.host}. @throws {UnsupportedHostError} where it cannot be paused.
   * @example
   * await using template = await container.snapshot()
   */
  snapshot(options?: ContainerSnapshotOptions): Promise<Template> {
    return snapshotOf(this.#engine, this.id, options)
  }
}
