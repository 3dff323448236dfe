// SPDX-License-Identifier: MIT
// The socket of one attached client: frames that it has not read yet, and the one that arrives from it. What frames
// mean is attach.cc's business. Context: launcher.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "attach.h"

namespace wherry {

constexpr size_t kFrameHeader = 5;

struct FrameSocket {
  int fd;  // does not block
  char* out;
  size_t out_start, out_end, out_room;
  int64_t stuck_since;                        // since when it has read nothing of what there is; 0: it has
  uint8_t in[kFrameHeader + kMaxInputFrame];  // the frame that is arriving
  size_t in_size;                             // how much of it is here
};

int64_t monotonic_ms();

// How much it has not read yet.
size_t unread(const FrameSocket* socket);

// Sends as much as there is room for. Returns false where the other side is gone.
bool send_pending(FrameSocket* socket);

// Returns false where the other side is gone, or there is no memory left for it.
bool send_frame(FrameSocket* socket, uint8_t kind, const void* data, size_t size);

// Forgets what it has not read yet.
void drop_pending(FrameSocket* socket);

enum class Arrival { kWhole, kNotYet, kGone };

// Reads on until a frame is whole, and stays where it is until next_frame. Nonsense counts as an end.
Arrival receive_frame(FrameSocket* socket);
uint32_t frame_size(const FrameSocket* socket);
void next_frame(FrameSocket* socket);

// Closes it such that the other side reads an end, and no broken connection.
void close_frames(FrameSocket* socket);

// Listens at this name in the directory. Returns a descriptor or -errno.
int listen_in(int dir, const char* name);

}  // namespace wherry
