// SPDX-License-Identifier: MIT
// Log files of containers, in the format of the Kubernetes CRI: "<RFC 3339 time> stdout|stderr F|P <text>\n". A line
// longer than kMaxLogLine is split into pieces of that size marked P, and the rest marked F. A shorter piece marked P
// is the end of a stream in the middle of a line. Context: launcher. A disk that is full or broken loses output; it
// never stops a container.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace wherry {

constexpr size_t kMaxLogLine = 16 * 1024;

struct LogFile {
  int dir;  // the container's directory
  int fd;
  uint64_t size, max_size;  // 0: no rotation
  uint32_t max_files;
};

// What a stream has said of a line that is not whole yet.
struct LogLine {
  char* text;
  size_t size;
  bool has_pieces;  // of this line, in the log
};

// Opens `log` in the directory for appending. Returns 0 or -errno.
int log_open(LogFile* log);

// Adds what came from one stream.
void log_append(LogFile* log, LogLine* line, bool is_stderr, const char* data, size_t size);

// Writes what is left of a last line without its end.
void log_end(LogFile* log, LogLine* line, bool is_stderr);

void log_close(LogFile* log);

}  // namespace wherry
