"""The limits of a process that decodes files of strangers; what one sets here, nothing in that process takes off again.

    resources      memory, open files, size of a file, processes (POSIX)
    capabilities   none but to read any file, where the process has that one (Linux)
    Landlock       writes only in one folder; no TCP, no signals to processes outside (Linux, as far as it has them)
    seccomp        no sockets, no looking into other processes, no mounts, no new sessions, … (Linux, with pyseccomp)

The filter of system calls is made by the parent (`call_filter`), which may import pyseccomp, and set by the child.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN_FILES = 64
FILE_BYTES = 1 << 30  # more than four hours of a wave
MORE_PROCESSES = 1024  # of this user, than the system has threads when a child starts
# System calls that no decoder needs. Those that libseccomp does not know are passed over.
REFUSED = (
    # addresses: with no socket inherited, and none made, nothing is reached
    "socket", "socketcall", "connect", "bind", "listen", "accept", "accept4",
    # other processes, and leaving the group that the parent ends
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_open",
    "pidfd_getfd", "pidfd_send_signal", "kcmp", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setsid", "setpgid",
    "setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr", "migrate_pages", "move_pages",
    # the system's own affairs
    "mount", "umount", "umount2", "move_mount", "mount_setattr", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "pivot_root", "chroot", "unshare", "setns", "mknod", "mknodat", "open_by_handle_at", "name_to_handle_at", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon",
    "swapoff", "syslog", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime", "clock_settime64",
    "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "personality",
    "vhangup", "fanotify_init", "lookup_dcookie", "nfsservctl",
)  # fmt: skip
EXECUTING = ("execve", "execveat")
NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)  # flags of clone(2)
PIDS = 0xFFFFFFFF  # the bits of an argument that are a process id
NEGATIVE = 0x80000000  # the one that says: a group, or everybody
NO_NEW_PRIVS, SET_SECCOMP, FILTER_MODE = 38, 22, 2  # see prctl(2)
INSTRUCTION_BYTES = 8  # of a filter
CAPABILITY_VERSION, READ_ANY_FILE = 0x20080522, 1 << 2  # see capabilities(7): CAP_DAC_READ_SEARCH
# See landlock(7). The calls have the same numbers on all processors.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
WRITE_FILE, TRUNCATE, IOCTL_DEVICE = 1 << 1, 1 << 14, 1 << 15
CHANGING = WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # and to make and remove all kinds of files
MOVING = 1 << 13
TCP, ABSTRACT_SOCKETS_AND_SIGNALS = 0b11, 0b11


@dataclass(frozen=True)
class Confinement:
    """Which limits hold beyond those of resources.

    Attributes:
        filtered: system calls are, by seccomp.
        folder_only: it writes nowhere but in its folder, by Landlock.
    """

    filtered: bool
    folder_only: bool


# --- The parent's part ------------------------------------------------------------------------------------------------


def call_filter(executes: bool) -> bytes:
    """A filter of system calls for the children of this process, as BPF; empty where it cannot be made.

    Args:
        executes: whether they may start programs, as they must where ffmpeg is one.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError):  # RuntimeError: libseccomp is not installed
        return b""
    import tempfile

    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    with tempfile.TemporaryFile() as file:
        try:
            for name, number, arguments in _rules(pyseccomp, executes):
                with suppress(OSError):  # a call that this processor does not have
                    rules.add_rule(pyseccomp.ERRNO(number), name, *arguments)
            rules.export_bpf(file)
        except OSError:
            return b""
        file.seek(0)
        return file.read()


def _rules(seccomp: Any, executes: bool) -> Iterator[tuple[str, int, list[Any]]]:
    """Name of a call, what it answers, and with which arguments."""
    for name in (*REFUSED, *(() if executes else EXECUTING)):
        yield name, errno.EPERM, []
    yield "clone3", errno.ENOSYS, []  # its flags cannot be looked at; the C library then calls `clone`
    for flag in NEW_NAMESPACES:
        yield "clone", errno.EPERM, [seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag)]
    yield "prlimit64", errno.EPERM, [seccomp.Arg(0, seccomp.NE, 0)]  # of another process
    for name in ("kill", "tgkill"):
        yield name, errno.EPERM, [seccomp.Arg(0, seccomp.MASKED_EQ, PIDS, os.getpid())]
        yield name, errno.EPERM, [seccomp.Arg(0, seccomp.MASKED_EQ, NEGATIVE, NEGATIVE)]


# --- The child's part -------------------------------------------------------------------------------------------------


def confine(memory_bytes: int, folder: Path, program: bytes) -> Confinement:
    """Limit this process, and all that it starts, for good.

    Args:
        memory_bytes: of address space that each process may take.
        folder: the only one in which it may write.
        program: from `call_filter`.
    """
    _limit_resources(memory_bytes)
    if sys.platform != "linux":
        return Confinement(filtered=False, folder_only=False)
    libc = ctypes.CDLL(None, use_errno=True)
    _drop_capabilities(libc)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
        return Confinement(filtered=False, folder_only=False)
    folder_only = _lock_in(libc, folder)
    return Confinement(bool(program) and _set_filter(libc, program), folder_only)


def _limit_resources(memory_bytes: int) -> None:
    import resource

    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_AS, memory_bytes),
    ]
    with suppress(OSError, ValueError, IndexError):  # the limit counts all that this user runs, not this process's own
        threads = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
        limits.append((resource.RLIMIT_NPROC, threads + MORE_PROCESSES))
    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):  # a system that lacks this one
            resource.setrlimit(kind, (least, least))


def _drop_capabilities(libc: Any) -> None:
    """All but that to read any file, where it has that one, so that root's children hold no more than they need."""
    header = struct.pack("Ii", CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; twice 32 bits each
    if libc.capget(header, sets):
        return
    words = struct.unpack("6I", sets.raw)
    reading = words[1] & READ_ANY_FILE
    libc.capset(header, struct.pack("6I", reading, reading, 0, 0, 0, 0))


def _lock_in(libc: Any, folder: Path) -> bool:
    """Let this process write nowhere but in `folder`, and reach no process outside; whether it has Landlock."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    later = [(2, MOVING), (3, TRUNCATE), (5, IOCTL_DEVICE)]
    handled = CHANGING | sum(right for since, right in later if version >= since)
    fields = [handled, TCP if version >= 4 else 0, ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0]
    count = 3 if version >= 6 else 2 if version >= 4 else 1
    attributes = struct.pack(f"{count}Q", *fields[:count])
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        allowed = [(str(folder), handled), (os.devnull, WRITE_FILE)]
        return all(_allow(libc, rules, place, rights) for place, rights in allowed) and not libc.syscall(
            RESTRICT_SELF, rules, ctypes.c_uint32(0)
        )
    finally:
        os.close(rules)


def _allow(libc: Any, rules: int, place: str, rights: int) -> bool:
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("=Qi", rights, descriptor)
        return not libc.syscall(ADD_RULE, rules, 1, beneath, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def _set_filter(libc: Any, program: bytes) -> bool:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    described = Program(len(program) // INSTRUCTION_BYTES, program)
    return not libc.prctl(SET_SECCOMP, FILTER_MODE, ctypes.byref(described), 0, 0)
