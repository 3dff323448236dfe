// SPDX-License-Identifier: MIT
/**
 * Whether an extended attribute of a layer is written. Attributes that overlayfs itself acts upon are not: a layer could
 * redirect a directory or a file's data to another place, or hide what lies beneath. Labels of the host's own security
 * modules are the host's business; file capabilities belong to the image.
 */
export function isWantedXattr(name: string): boolean {
  if (name.startsWith('user.overlay.') || name.startsWith('trusted.overlay.')) return false
  if (name.startsWith('security.')) return name === 'security.capability'
  return (
    name.startsWith('user.') ||
    name.startsWith('trusted.') ||
    name === 'system.posix_acl_access' ||
    name === 'system.posix_acl_default'
  )
}

/** The mark of a directory that hides what lower layers have in it, for overlay mounts with `userxattr`. */
export const kOpaqueXattr = 'user.overlay.opaque'
