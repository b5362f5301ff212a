"""The second wall: which system calls a program's process may not make.

The namespaces already keep the outside out of sight. The filter takes away what a program could
still wear the host down with (processes, kernel objects that no limit counts) and most of the
kernel that past escapes went through. A refused call fails with EPERM, one that this list is too
old to know with ENOSYS, one of another architecture kills the process.
"""

from __future__ import annotations

import errno
import platform
import struct

from ttscale.errors import InputError

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH_…, linux/audit.h

# name: number on x86_64, number on aarch64 (None where it does not exist)
_DENIED: dict[str, tuple[int, int | None]] = {
    # starting processes and threads, and other programs
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # talking to anyone
    "socket": (41, 198),
    "socketpair": (53, 199),
    # looking into other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # other namespaces and file systems
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory that the limit on the address space does not count
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # large and often attacked parts of the kernel
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "personality": (135, 92),
    # the machine itself
    "syslog": (103, 116),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "quotactl": (179, 60),
}
_CLONE3 = 435  # "does not exist", so that the C library falls back on clone and hears "not allowed"
_LAST_KNOWN = 450  # set_mempolicy_home_node, Linux 5.17; calls of the x32 kind lie above as well

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def filter_program(machine: str | None = None) -> bytes:
    """The filter as classic BPF, 8 bytes an instruction (struct sock_filter).

    Parameters
    ----------
    machine : as `platform.machine()` has it, which is asked when left out.

    Raises
    ------
    InputError : there is no table for this processor.
    """
    machine = machine or platform.machine()
    columns = {"x86_64": (_X86_64, 0), "aarch64": (_AARCH64, 1)}
    if machine not in columns:
        raise InputError(
            "Programs cannot be sandboxed on this processor: its system calls are not known.",
            where="the sandbox",
            got=machine,
            hint="grade code on one of " + ", ".join(columns),
        )
    architecture, column = columns[machine]
    denied = [number for call in _DENIED.values() if (number := call[column]) is not None]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER, 1, 0, _LAST_KNOWN),
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    # each jumps over the rest of the list and the permission, to the refusal
    lines += [(_JUMP_EQUAL, len(denied) - place, 0, number) for place, number in enumerate(denied)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | errno.EPERM)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
