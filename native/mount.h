// SPDX-License-Identifier: MIT
// What all steps that mount share. Targets are descriptors, opened below the new root. Context: child.
#pragma once

#include "steps.h"

namespace wherry {

constexpr uint64_t kAttrReadOnly = 1, kAttrNosuid = 2, kAttrNodev = 4, kAttrNoexec = 8, kAttrIdmap = 0x100000;
constexpr unsigned kFsopenCloexec = 1, kFsmountCloexec = 1;

// Attributes of mount_setattr as flags of mount(2).
unsigned long attr_to_flags(uint64_t attr);

// Opens the target of a mount: the slot itself for an empty path. Returns a descriptor or -errno.
int target_fd(Context* ctx, int64_t slot, const char* path, bool directory);

int attach(Context* ctx, int mount_fd, int target);

// Kernels before 5.2: mount(2) on the descriptor's magic link. The mount's root is reopened by walking into it again.
int old_mount(Context* ctx, const char* source, int target, const char* type, uint64_t attr, const char* data);

// Reopens what is mounted on a target that was opened before the mount.
int reopen(Context* ctx, int64_t target_slot, const char* path, int64_t slot);

}  // namespace wherry
