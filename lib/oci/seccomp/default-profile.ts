// SPDX-License-Identifier: MIT

/** A rule of the default profile: names apart by blanks, and when they are allowed. */
export interface DefaultRule {
  names: string
  /** Every one of these capabilities is needed. */
  caps?: readonly string[]
  /** Only on one of these interfaces (Docker's names). */
  arches?: readonly string[]
}

/**
 * System calls that any container may make. They act on what the process already holds, or are checked by the kernel against
 * namespaces and file permissions. Names that only 32-bit interfaces have are included: they cost nothing elsewhere.
 */
export const kAlwaysAllowed: readonly DefaultRule[] = [
  // Files by descriptor.
  { names: 'read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek readahead' },
  { names: 'sendfile sendfile64 splice tee vmsplice copy_file_range fallocate ftruncate ftruncate64 fadvise64' },
  {
    names: 'fadvise64_64 fsync fdatasync sync syncfs sync_file_range sync_file_range2 close close_range dup dup2 dup3',
  },
  { names: 'fcntl fcntl64 flock ioctl cachestat' },
  // Files by name.
  { names: 'open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64' },
  {
    names:
      'newfstatat statx statfs statfs64 fstatfs fstatfs64 readlink readlinkat getdents getdents64 truncate truncate64',
  },
  {
    names: 'mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat unlink unlinkat rename renameat renameat2',
  },
  {
    names: 'chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat umask chdir fchdir',
  },
  { names: 'getcwd utime utimes utimensat utimensat_time64 futimesat name_to_handle_at file_getattr file_setattr' },
  { names: 'getxattr getxattrat lgetxattr fgetxattr listxattr listxattrat llistxattr flistxattr setxattr setxattrat' },
  { names: 'lsetxattr fsetxattr removexattr removexattrat lremovexattr fremovexattr statmount listmount' },
  { names: 'inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark' },
  // Memory.
  {
    names: 'brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal',
  },
  {
    names: 'memfd_create memfd_secret remap_file_pages pkey_alloc pkey_free pkey_mprotect membarrier map_shadow_stack',
  },
  // Processes, threads, identity. What changes identity is checked against capabilities.
  {
    names:
      'execve execveat exit exit_group fork vfork wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid',
  },
  { names: 'getsid setsid kill tkill tgkill prctl seccomp rseq restart_syscall set_tid_address set_robust_list' },
  {
    names:
      'get_robust_list set_thread_area get_thread_area getcpu pidfd_open pidfd_send_signal process_mrelease uretprobe',
  },
  {
    names: 'uprobe getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid',
  },
  {
    names: 'getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32',
  },
  {
    names: 'setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32',
  },
  { names: 'capget capset landlock_create_ruleset landlock_add_rule landlock_restrict_self' },
  { names: 'process_vm_readv process_vm_writev ptrace' },
  // Scheduling and limits.
  { names: 'sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler' },
  { names: 'sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min' },
  {
    names: 'sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit',
  },
  { names: 'setrlimit prlimit64 ugetrlimit getrusage sysinfo times uname' },
  // Signals.
  {
    names:
      'rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_sigreturn',
  },
  { names: 'rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn signalfd signalfd4 pause alarm' },
  // Time. Setting the clock needs a capability, which the kernel checks for adjtimex and clock_adjtime.
  { names: 'time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep' },
  { names: 'clock_nanosleep_time64 nanosleep adjtimex clock_adjtime clock_adjtime64 getitimer setitimer timer_create' },
  { names: 'timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create' },
  { names: 'timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64' },
  // Waiting.
  { names: 'poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl' },
  { names: 'epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 futex futex_time64' },
  { names: 'futex_wait futex_wake futex_waitv futex_requeue io_setup io_submit io_cancel io_destroy io_getevents' },
  { names: 'io_pgetevents io_pgetevents_time64' },
  // Sockets and pipes; `socket` itself depends on the family.
  { names: 'pipe pipe2 socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername' },
  { names: 'getsockopt setsockopt send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64' },
  // System V and POSIX inter-process communication: inside the ipc namespace.
  {
    names: 'ipc shmget shmat shmdt shmctl semget semop semtimedop semtimedop_time64 semctl msgget msgsnd msgrcv msgctl',
  },
  { names: 'mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive' },
  { names: 'mq_timedreceive_time64 getrandom' },
  // What belongs to one kind of machine.
  { names: 'arch_prctl modify_ldt', arches: ['amd64', 'x32', 'x86'] },
  { names: 'arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls', arches: ['arm', 'arm64'] },
]

/** System calls that need a capability: without it the filter refuses them before the kernel's own checks. */
export const kAllowedWithCapability: readonly DefaultRule[] = [
  { caps: ['CAP_BPF'], names: 'bpf' },
  { caps: ['CAP_DAC_READ_SEARCH'], names: 'open_by_handle_at' },
  { caps: ['CAP_PERFMON'], names: 'perf_event_open' },
  {
    caps: ['CAP_SYS_ADMIN'],
    names: 'mount umount umount2 mount_setattr move_mount open_tree open_tree_attr fsopen fspick',
  },
  {
    caps: ['CAP_SYS_ADMIN'],
    names: 'fsconfig fsmount clone clone3 unshare setns sethostname setdomainname bpf syslog',
  },
  { caps: ['CAP_SYS_ADMIN'], names: 'perf_event_open quotactl quotactl_fd fanotify_init lookup_dcookie' },
  { caps: ['CAP_SYS_ADMIN'], names: 'lsm_get_self_attr lsm_set_self_attr lsm_list_modules' },
  { caps: ['CAP_SYSLOG'], names: 'syslog' },
  { caps: ['CAP_SYS_BOOT'], names: 'reboot' },
  { caps: ['CAP_SYS_CHROOT'], names: 'chroot' },
  { caps: ['CAP_SYS_MODULE'], names: 'init_module finit_module delete_module' },
  { caps: ['CAP_SYS_NICE'], names: 'get_mempolicy set_mempolicy set_mempolicy_home_node mbind' },
  { caps: ['CAP_SYS_PACCT'], names: 'acct' },
  { caps: ['CAP_SYS_PTRACE'], names: 'kcmp pidfd_getfd process_madvise' },
  { caps: ['CAP_SYS_RAWIO'], names: 'iopl ioperm' },
  { caps: ['CAP_SYS_TIME'], names: 'settimeofday stime clock_settime clock_settime64' },
  { caps: ['CAP_SYS_TTY_CONFIG'], names: 'vhangup' },
]

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET: making a namespace needs CAP_SYS_ADMIN. */
export const kCloneNamespaceFlags = 0x7e020000

/**
 * Values of personality(2) that are allowed: PER_LINUX and PER_LINUX32, each with and without UNAME26, and the query. Others
 * switch off address space randomisation or make memory executable.
 */
export const kAllowedPersonalities: readonly number[] = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

/** Socket families that are refused: AF_ALG (38) is a door to kernel crypto code, AF_VSOCK (40) to the hypervisor's host. */
export const kRefusedSocketFamilies: readonly number[] = [38, 40]
