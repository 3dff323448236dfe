// SPDX-License-Identifier: MIT
// Messages between Node and the step that makes sockets, one each on a SOCK_SEQPACKET socket: see socket_server.cc.
// lib/net/socket-protocol.ts is the other side.
#pragma once

#include <stdint.h>

namespace wherry {

enum SocketOp : uint32_t {
  kSocketConnect = 1,
  kSocketBind = 2,  // and listen, for a stream
  kSocketCancel = 3,
};

enum SocketFamily : uint32_t { kSocketIpv4 = 4, kSocketIpv6 = 6, kSocketUnix = 1 };

inline constexpr uint32_t kSocketTextBytes = 256;

// Followed by the address as text, or the path.
struct SocketRequest {
  uint32_t id;  // of the request; of the one that is meant, to cancel
  uint32_t op;
  uint32_t family;
  uint32_t is_datagram;
  uint32_t port;
  uint32_t backlog;
  uint32_t text_size;
};

// With the socket's descriptor where there is no error.
struct SocketReply {
  uint32_t id;
  int32_t error;
  char call[16];
};

}  // namespace wherry
