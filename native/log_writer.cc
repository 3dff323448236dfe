// SPDX-License-Identifier: MIT
#include "log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace wherry {
namespace {

constexpr char kName[] = "log";
constexpr int kMaxHeader = 64;

int open_log(int dir) {
  int fd = openat(dir, kName, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  return fd < 0 ? -errno : fd;
}

// log.1 becomes log.2 and so on; the oldest goes.
void rotate(LogFile* log) {
  char from[32], to[32];
  for (uint32_t i = log->max_files - 1; i > 0; i--) {
    snprintf(to, sizeof to, "%s.%u", kName, i);
    if (i == 1) {
      snprintf(from, sizeof from, "%s", kName);
    } else {
      snprintf(from, sizeof from, "%s.%u", kName, i - 1);
    }
    renameat(log->dir, from, log->dir, to);
  }
  if (log->max_files <= 1) unlinkat(log->dir, kName, 0);
  int fd = open_log(log->dir);
  if (fd < 0) return;
  close(log->fd);
  log->fd = fd;
  log->size = 0;
}

int header_of(char* out, bool is_stderr, bool is_whole) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  return snprintf(out, kMaxHeader, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ %s %c ", utc.tm_year + 1900, utc.tm_mon + 1,
                  utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec, is_stderr ? "stderr" : "stdout",
                  is_whole ? 'F' : 'P');
}

// One record: what is kept of the line, then `data`, then a newline of the format's own.
void write_record(LogFile* log, const LogLine& line, const char* data, size_t size, bool is_stderr, bool is_whole) {
  char header[kMaxHeader];
  int header_size = header_of(header, is_stderr, is_whole);
  size_t total = static_cast<size_t>(header_size) + line.size + size + 1;
  if (log->max_size > 0 && log->size > 0 && log->size + total > log->max_size) rotate(log);
  char newline = '\n';
  iovec parts[] = {{header, static_cast<size_t>(header_size)},
                   {line.text, line.size},
                   {const_cast<char*>(data), size},
                   {&newline, 1}};
  ssize_t n;
  do {
    n = writev(log->fd, parts, 4);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(total)) {
    log->size += total;
  } else if (n > 0 && ftruncate(log->fd, static_cast<off_t>(log->size)) != 0) {
    // A record cut short by a full disk stays as it is: readers skip what is no record.
    log->size += static_cast<uint64_t>(n);
  }
}

}  // namespace

int log_open(LogFile* log) {
  log->fd = open_log(log->dir);
  if (log->fd < 0) return log->fd;
  struct stat st;
  log->size = fstat(log->fd, &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
  return 0;
}

void log_append(LogFile* log, LogLine* line, bool is_stderr, const char* data, size_t size) {
  if (log->fd < 0) return;
  while (size > 0) {
    size_t room = kMaxLogLine - line->size;
    size_t reach = size < room ? size : room;
    auto* end = static_cast<const char*>(memchr(data, '\n', reach));
    if (end != nullptr) {
      auto length = static_cast<size_t>(end - data);
      write_record(log, *line, data, length, is_stderr, true);
      line->size = 0;
      line->has_pieces = false;
      data += length + 1;
      size -= length + 1;
      continue;
    }
    if (reach == room) {
      write_record(log, *line, data, reach, is_stderr, false);
      line->size = 0;
      line->has_pieces = true;
    } else {
      if (line->text == nullptr) line->text = static_cast<char*>(malloc(kMaxLogLine));
      if (line->text == nullptr) return;
      memcpy(line->text + line->size, data, reach);
      line->size += reach;
    }
    data += reach;
    size -= reach;
  }
  // Idle containers cost as little memory as can be.
  if (line->size == 0 && line->text != nullptr) {
    free(line->text);
    line->text = nullptr;
  }
}

void log_end(LogFile* log, LogLine* line, bool is_stderr) {
  // Without its newline: a piece of a line that never became whole. It is shorter than other pieces, empty if need be:
  // what the next run writes is not taken for the rest of the line.
  if (log->fd >= 0 && (line->size > 0 || line->has_pieces)) write_record(log, *line, nullptr, 0, is_stderr, false);
  free(line->text);
  *line = {};
}

void log_close(LogFile* log) {
  if (log->fd >= 0) close(log->fd);
  log->fd = -1;
}

}  // namespace wherry
