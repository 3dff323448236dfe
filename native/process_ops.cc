// SPDX-License-Identifier: MIT
#include "process_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "addon_state.h"
#include "ops.h"
#include "plan.h"
#include "poll_handle.h"
#include "sys.h"

extern "C" const unsigned char wherry_launcher_blob[];
extern "C" const size_t wherry_launcher_blob_size;

namespace wherry {
namespace {

// new Descriptor(fd): a descriptor that closes with its object, or with the environment.
class Descriptor : public Napi::ObjectWrap<Descriptor> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("Descriptor", DefineClass(env, "Descriptor",
                                          {InstanceAccessor<&Descriptor::get>("fd"),
                                           InstanceMethod<&Descriptor::close_now>("close")}));
  }
  explicit Descriptor(const Napi::CallbackInfo& info)
      : ObjectWrap(info), fd_(disown_descriptor(info.Env(), int_of(info, 0))) {}
  ~Descriptor() override {
    if (fd_ >= 0) close(fd_);
  }

 private:
  Napi::Value get(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), fd_); }
  void close_now(const Napi::CallbackInfo&) {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int fd_;
};

// new Watch(fd, callback): calls once when the descriptor becomes readable, as a pidfd does when its process ends, and
// closes it.
class Watch : public Napi::ObjectWrap<Watch> {
 public:
  static void init(Napi::Env env, Napi::Object exports) {
    exports.Set("Watch", DefineClass(env, "Watch",
                                     {InstanceMethod<&Watch::close_now>("close"), InstanceMethod<&Watch::ref>("ref"),
                                      InstanceMethod<&Watch::unref>("unref")}));
  }
  explicit Watch(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Napi::Env env = info.Env();
    // A worker that is being terminated wraps nothing any more: what follows would end the whole process.
    if (IsEmpty()) return;
    if (info.Length() < 2 || !info[0].IsNumber() || !info[1].IsFunction()) {
      Napi::TypeError::New(env, "Watch(fd, callback)").ThrowAsJavaScriptException();
      return;
    }
    int fd = info[0].As<Napi::Number>().Int32Value();
    if (!PollHandle::open(
            env, fd, [this] { on_readable(); }, &poll_)) {
      system_error(env, errno, "epoll_ctl").ThrowAsJavaScriptException();
      return;
    }
    disown_descriptor(env, fd);
    callback_ = Napi::Persistent(info[1].As<Napi::Function>());
    context_ = std::make_unique<Napi::AsyncContext>(env, "WherryWatch");
    Ref();
  }
  ~Watch() override {
    if (poll_ != nullptr) poll_->close();
  }

 private:
  void on_readable() {
    Napi::Env env = Env();
    Napi::HandleScope scope(env);
    // Kept by this scope: shut() lets go of it.
    Napi::FunctionReference callback = Napi::Persistent(callback_.Value());
    std::unique_ptr<Napi::AsyncContext> context = std::move(context_);
    shut();
    call_javascript(env, callback, *context, {});
  }
  void shut() {
    if (poll_ == nullptr) return;
    poll_->close();
    callback_.Reset();
    Unref();
  }
  void close_now(const Napi::CallbackInfo&) { shut(); }
  void ref(const Napi::CallbackInfo&) {
    if (poll_ != nullptr) poll_->ref();
  }
  void unref(const Napi::CallbackInfo&) {
    if (poll_ != nullptr) poll_->unref();
  }
  PollHandle* poll_ = nullptr;
  Napi::FunctionReference callback_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

constexpr unsigned kMfdExec = 0x10;
constexpr int kMfdSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

Napi::Value raise(Napi::Env env, int error, const char* call) {
  system_error(env, error, call).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value descriptor_of(Napi::Env env, int fd) { return Napi::Number::New(env, own_descriptor(env, fd)); }

std::string text_of(const Napi::CallbackInfo& info, size_t index) {
  return info[index].IsString() ? info[index].As<Napi::String>().Utf8Value() : "";
}

bool write_all(int fd, const unsigned char* data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// MFD_EXEC since 6.3, where vm.memfd_noexec may be set; older kernels refuse the flag.
int open_memfd(const char* name, bool executable) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = memfd_create(name, flags | (executable ? kMfdExec : 0));
  return fd < 0 && executable && errno == EINVAL ? memfd_create(name, flags) : fd;
}

int sealed_memfd(const char* name, const unsigned char* data, size_t size, bool executable) {
  int fd = open_memfd(name, executable);
  if (fd < 0) return -1;
  if (write_all(fd, data, size) && fcntl(fd, F_ADD_SEALS, kMfdSeals) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// Runs in a vfork child: shares Node's memory until exec, so it touches nothing but its own registers and descriptors.
[[noreturn]] void exec_launcher(int executable, int control, volatile int* error) {
  // The control socket may sit on 3 already, then dup2 would leave its close-on-exec flag.
  int moved = fcntl(control, F_DUPFD_CLOEXEC, 10);
  if (moved >= 0 && dup2(moved, 3) == 3) {
    // Node blocks or ignores signals in its own way; the launcher starts from nothing.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    char name[] = "wherry-launcher";
    char* argv[] = {name, nullptr};
    char* env[] = {nullptr};
    syscall(SYS_execveat, executable, "", argv, env, AT_EMPTY_PATH);
  }
  *error = errno;
  _exit(127);
}

// () -> { pid, fd }: the launcher runs, fd is its control socket.
Napi::Value start_launcher(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return raise(env, errno, "socketpair");
  int executable = sealed_memfd("wherry-launcher", wherry_launcher_blob, wherry_launcher_blob_size, true);
  if (executable < 0) {
    int error = errno;
    close(pair[0]);
    close(pair[1]);
    return raise(env, error, "memfd_create");
  }
  // A descriptor below 10 could be overwritten by dup2 in the child.
  int high = fcntl(executable, F_DUPFD_CLOEXEC, 10);
  volatile int error = 0;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pid_t pid = vfork();
  if (pid == 0) exec_launcher(high, pair[1], &error);
  if (pid < 0) error = errno;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  close(executable);
  close(high);
  close(pair[1]);
  if (error != 0) {
    if (pid > 0) waitpid(pid, nullptr, 0);
    close(pair[0]);
    return raise(env, error, "execveat");
  }
  env.GetInstanceData<AddonState>()->add_launcher(pid, fcntl(pair[0], F_DUPFD_CLOEXEC, 3));
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, pid));
  result.Set("fd", Napi::Number::New(env, own_descriptor(env, pair[0])));
  return result;
}

Napi::Value pair_of(Napi::Env env, const int* fds) {
  Napi::Array result = Napi::Array::New(env, 2);
  result.Set(0u, Napi::Number::New(env, own_descriptor(env, fds[0])));
  result.Set(1u, Napi::Number::New(env, own_descriptor(env, fds[1])));
  return result;
}

// () -> [ours, theirs], SOCK_SEQPACKET
Napi::Value socket_pair(const Napi::CallbackInfo& info) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return raise(info.Env(), errno, "socketpair");
  return pair_of(info.Env(), fds);
}

// (ours: 'read' | 'write') -> [ours (non-blocking), theirs]
Napi::Value make_pipe(const Napi::CallbackInfo& info) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return raise(info.Env(), errno, "pipe2");
  bool reads = text_of(info, 0) == "read";
  int result[2] = {reads ? fds[0] : fds[1], reads ? fds[1] : fds[0]};
  fcntl(result[0], F_SETFL, O_NONBLOCK);
  return pair_of(info.Env(), result);
}

// (bytes) -> fd, sealed
Napi::Value memfd(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Uint8Array>();
  int fd = sealed_memfd("wherry-plan", bytes.Data(), bytes.ByteLength(), false);
  return fd < 0 ? raise(info.Env(), errno, "memfd_create") : descriptor_of(info.Env(), fd);
}

// (dirfd, path, flags) -> fd
Napi::Value open_tree(const Napi::CallbackInfo& info) {
  int fd = sys_open_tree(int_of(info, 0), text_of(info, 1).c_str(), static_cast<unsigned>(int_of(info, 2)));
  return fd < 0 ? raise(info.Env(), errno, "open_tree") : descriptor_of(info.Env(), fd);
}

// (fd, flags, set, clear, propagation, usernsFd)
Napi::Value set_mount_attributes(const Napi::CallbackInfo& info) {
  auto number = [&](size_t i) { return static_cast<uint64_t>(number_of(info.Env(), info[i])); };
  MountAttr attr = {number(2), number(3), number(4), number(5)};
  int result = sys_mount_setattr(int_of(info, 0), "", static_cast<unsigned>(int_of(info, 1)), &attr);
  return result != 0 ? raise(info.Env(), errno, "mount_setattr") : info.Env().Undefined();
}

// (fd): the descriptor is Node's own from now on, which closes it.
Napi::Value give_away(const Napi::CallbackInfo& info) {
  disown_descriptor(info.Env(), int_of(info, 0));
  return info.Env().Undefined();
}

// (fd) -> a second descriptor of the same open file
Napi::Value duplicate(const Napi::CallbackInfo& info) {
  int fd = fcntl(int_of(info, 0), F_DUPFD_CLOEXEC, 3);
  return fd < 0 ? raise(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)") : descriptor_of(info.Env(), fd);
}

// (pid) -> pidfd; ESRCH where there is no such process
Napi::Value pidfd_open(const Napi::CallbackInfo& info) {
  int fd = sys_pidfd_open(int_of(info, 0));
  return fd < 0 ? raise(info.Env(), errno, "pidfd_open") : descriptor_of(info.Env(), fd);
}

// (pidfd, signal)
Napi::Value pidfd_send_signal(const Napi::CallbackInfo& info) {
  long result = syscall(SYS_pidfd_send_signal, int_of(info, 0), int_of(info, 1), nullptr, 0);
  return result != 0 ? raise(info.Env(), errno, "pidfd_send_signal") : info.Env().Undefined();
}

// (pid): collects a child of ours that has closed its socket, so that no zombie stays.
Napi::Value reap(const Napi::CallbackInfo& info) {
  pid_t pid = int_of(info, 0);
  if (!info.Env().GetInstanceData<AddonState>()->remove_launcher(pid)) return info.Env().Undefined();
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return info.Env().Undefined();
}

// (fd, rows, columns)
Napi::Value set_window_size(const Napi::CallbackInfo& info) {
  winsize size = {static_cast<unsigned short>(int_of(info, 1)), static_cast<unsigned short>(int_of(info, 2)), 0, 0};
  int result = ioctl(int_of(info, 0), TIOCSWINSZ, &size);
  return result != 0 ? raise(info.Env(), errno, "ioctl(TIOCSWINSZ)") : info.Env().Undefined();
}

// (fd) -> the settings that the terminal had. Neither what is typed nor what is written is changed on its way from now
// on.
Napi::Value make_raw(const Napi::CallbackInfo& info) {
  termios saved;
  int fd = int_of(info, 0);
  if (tcgetattr(fd, &saved) != 0) return raise(info.Env(), errno, "tcgetattr");
  termios raw = saved;
  cfmakeraw(&raw);
  // Not TCSADRAIN: a terminal that somebody has stopped would hold us up.
  if (tcsetattr(fd, TCSANOW, &raw) != 0) return raise(info.Env(), errno, "tcsetattr");
  return Napi::Buffer<char>::Copy(info.Env(), reinterpret_cast<const char*>(&saved), sizeof saved);
}

// (fd, settings from makeRaw)
Napi::Value restore_terminal(const Napi::CallbackInfo& info) {
  termios saved;
  if (info.Length() < 2 || !info[1].IsTypedArray()) return raise(info.Env(), EINVAL, "tcsetattr");
  auto bytes = info[1].As<Napi::Uint8Array>();
  if (bytes.ByteLength() != sizeof saved) return raise(info.Env(), EINVAL, "tcsetattr");
  memcpy(&saved, bytes.Data(), sizeof saved);
  // A process in the background would be stopped here, unless it blocks the signal.
  sigset_t stop, old;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &stop, &old);
  int error = tcsetattr(int_of(info, 0), TCSANOW, &saved) == 0 ? 0 : errno;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return error != 0 ? raise(info.Env(), error, "tcsetattr") : info.Env().Undefined();
}

// () -> names of the operations in wire order
Napi::Value plan_ops(const Napi::CallbackInfo& info) {
  Napi::Array result = Napi::Array::New(info.Env(), op_count());
  for (uint16_t i = 0; i < op_count(); i++) result.Set(i, Napi::String::New(info.Env(), op_shape(i)->name));
  return result;
}

// (bytes) -> what is wrong with the plan, or undefined
Napi::Value check_plan(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Uint8Array>();
  Plan plan;
  int wrong = plan_check(bytes.Data(), bytes.ByteLength(), &plan);
  return wrong == 0 ? info.Env().Undefined() : Napi::String::New(info.Env(), plan_error(wrong));
}

}  // namespace

void init_process_ops(Napi::Env env, Napi::Object exports) {
  Descriptor::init(env, exports);
  Watch::init(env, exports);
  exports.Set("startLauncher", Napi::Function::New<start_launcher>(env));
  exports.Set("socketPair", Napi::Function::New<socket_pair>(env));
  exports.Set("pipe", Napi::Function::New<make_pipe>(env));
  exports.Set("memfd", Napi::Function::New<memfd>(env));
  exports.Set("duplicate", Napi::Function::New<duplicate>(env));
  exports.Set("giveAway", Napi::Function::New<give_away>(env));
  exports.Set("openTree", Napi::Function::New<open_tree>(env));
  exports.Set("mountSetattr", Napi::Function::New<set_mount_attributes>(env));
  exports.Set("pidfdOpen", Napi::Function::New<pidfd_open>(env));
  exports.Set("pidfdSendSignal", Napi::Function::New<pidfd_send_signal>(env));
  exports.Set("reap", Napi::Function::New<reap>(env));
  exports.Set("setWindowSize", Napi::Function::New<set_window_size>(env));
  exports.Set("makeRaw", Napi::Function::New<make_raw>(env));
  exports.Set("restoreTerminal", Napi::Function::New<restore_terminal>(env));
  exports.Set("planOps", Napi::Function::New<plan_ops>(env));
  exports.Set("checkPlan", Napi::Function::New<check_plan>(env));
}

}  // namespace wherry
