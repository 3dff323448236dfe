/** What the store needs of the addon. Tests give a stand-in. */
export interface StoreNative {
  /**
   * Takes or gives back an open-file-description lock on the whole file, without waiting.
   *
   * @returns whether the lock is held (always true for `unlock`).
   * @source man 2 fcntl, "Open file description locks"
   */
  ofdLock(fd: number, mode: 'read' | 'write' | 'unlock'): boolean
  /**
   * Writes everything of the file system of `fd` to the disk, in the background; `fd` may be closed at once.
   *
   * @source man 2 syncfs
   */
  syncfsAsync(fd: number): Promise<void>
}
