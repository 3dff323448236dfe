// SPDX-License-Identifier: MIT
#pragma once

namespace wherry {

// Removes a directory and all below it, following no link and crossing no mount. Best effort.
void remove_tree(const char* path);

// Removes a cgroup directory and those below it; waits briefly for the last process to go.
void remove_cgroups(const char* path);

// Removes every cgroup whose path begins with `prefix`; the last slash ends the parent's path.
void remove_cgroups_by_prefix(const char* prefix);

}  // namespace wherry
