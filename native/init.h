// SPDX-License-Identifier: MIT
// A minimal process 1: starts the real program as its child, passes signals on, reaps orphans, ends as the child ended.
#pragma once

namespace wherry {

// Returns 0 in the new child, -errno when fork failed. Does not return in process 1.
int start_init(int status_fd);

}  // namespace wherry
