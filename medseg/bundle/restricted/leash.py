"""While a stranger's bundle runs: no program, no network, no writing outside the output folder.

A second line behind the static check, by Python's audit events (PEP 578). It sees what Python code does, not
what a compiled library does on its own; SECURITY.md says what follows from that.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medseg.errors import BundleError

_PROGRAMS = frozenset(
    ["os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn", "webbrowser.open"]
)
_CHANGES = frozenset(
    [
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.truncate",
        "os.utime",
        "os.setxattr",
        "os.removexattr",
    ]
)
_CONNECTS = frozenset(["socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"])
_LOOKUPS = frozenset(
    ["socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "ftplib.connect", "smtplib.connect"]
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS_PROGRAMS = ("uname", "ldconfig", "/sbin/ldconfig")  # `platform` and `ctypes.util` ask them

_open: list[tuple[str, ...]] = []
"""The places that may be written, of each leash in force; the innermost counts."""
_hooked = False


@contextmanager
def leash(output: str | os.PathLike[str], *, also: Sequence[str | os.PathLike[str]] = ()) -> Iterator[None]:
    """Inside the block a program, a connection or a write outside `output` raises `BundleError`.

    Args:
        output: everything that is written goes below it.
        also: further places that medseg itself writes to.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_watch)
        _hooked = True
    shared = Path(tempfile.gettempdir()).resolve()
    places = [Path(p).resolve() for p in (output, *also)]
    # what DataLoader's worker processes share with their parent, and the cache folder that importing
    # torch's compiler makes
    temporary = [str(shared / name) for name in ("pymp-", "torch_", "torchinductor_")]
    _open.append((*map(str, places), "/dev/shm", "/dev/null", *temporary))
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        _open.pop()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _open:
        return
    if event == "open":
        path, mode, flags = arguments
        if _is_writing(mode, flags) and isinstance(path, (str, bytes, os.PathLike)):
            _demand_inside(path, "write")
    elif event in _CHANGES:
        for path in arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]:
            if isinstance(path, (str, bytes, os.PathLike)):
                _demand_inside(path, event.removeprefix("os."))
    elif event in _CONNECTS:
        if getattr(arguments[0], "family", None) != getattr(socket, "AF_UNIX", None):
            _refuse(f"connect to {arguments[1:]}")
    elif event == "sqlite3.connect":
        if (path := os.fsdecode(arguments[0]).removeprefix("file:").partition("?")[0]) != ":memory:":
            _demand_inside(path, "write")
    elif event in _LOOKUPS:
        _refuse(f"connect to {arguments[:1]}")
    elif event in _PROGRAMS:
        _refuse(f"run {str(arguments[0])[:80]}")
    elif event == "subprocess.Popen" and _program(arguments) not in (*_HARMLESS_PROGRAMS, sys.executable):
        _refuse(f"run {_program(arguments)[:80]}")


def _program(arguments: tuple[Any, ...]) -> str:
    executable, command = arguments[:2]
    first = command if isinstance(command, (str, bytes)) else command[0] if command else executable
    return os.fsdecode(first)


def _is_writing(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return True
    return isinstance(flags, int) and bool(flags & _WRITING)


def _demand_inside(path: Any, what: str) -> None:
    place = os.path.realpath(os.fsdecode(path))
    if "__pycache__" in place.split(os.sep) and not re.search(r"\.py[cow]?(\.\d+)?$", place):
        return  # what numba compiles for installed packages; Python is told not to keep what it compiles
    for allowed in _open[-1]:
        if (
            place == allowed
            or place.startswith(allowed + os.sep)
            or (allowed[-1] in "-_" and place.startswith(allowed))
        ):
            return
    _refuse(f"{what} {place}")


def _refuse(what: str) -> None:
    raise BundleError(
        f"the bundle tried to {what}",
        "in restricted mode nothing but files below the output folder",
        "read its configs; if you trust whoever made it, say --trust",
    )
