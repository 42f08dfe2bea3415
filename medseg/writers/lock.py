"""One run at a time in an output folder: a lock file that says who writes there."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from medseg.errors import OutputError

LOCK = ".medseg.lock"


def holds_work(folder: Path) -> bool:
    """True where the folder holds anything but a lock."""
    return folder.exists() and any(path.name != LOCK for path in folder.iterdir())


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other runs out of the folder while the block lasts; the folder is made where it is missing.

    The lock names process, host and command. One that a killed process of this host left is taken over, and
    that is told; one of another host can't be judged from here, so it is refused. A folder that was made for
    the block and is empty at its end goes again.

    Raises:
        OutputError: another run writes there, or the folder can't be written.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = _take(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: {error.strerror}", "a folder to write in", "choose another with -o"
        ) from error
    try:
        yield
    finally:
        if _read(folder / LOCK) == own:
            (folder / LOCK).unlink(missing_ok=True)
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _take(folder: Path) -> dict[str, Any]:
    """What the lock now says, once it is ours."""
    path = folder / LOCK
    own = {"pid": os.getpid(), "started": _started(os.getpid()), "host": socket.gethostname()}
    own["command"] = " ".join(map(os.path.basename, sys.argv[:2]))
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8") as file:
            _one_at_a_time(file)
            # Another run may have taken the file away between the two calls.
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                continue
            _refuse_living(folder, _parsed(file.read()))
            file.seek(0)
            file.truncate()
            file.write(json.dumps(own) + "\n")
            return own


def _one_at_a_time(file: IO[str]) -> None:
    """Wait for another process that is just looking at the same lock; the wait is a moment's."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    # Windows has no fcntl, some network disks no flock: two runs in the same millisecond may then meet.
    except (ImportError, OSError):
        return


def _refuse_living(folder: Path, other: dict[str, Any]) -> None:
    """Pass where nobody holds the lock, or somebody who is gone.

    Raises:
        OutputError: its process lives, or is one of another host.
    """
    if not other:
        return
    pid, host = int(other.get("pid", 0)), str(other.get("host", ""))
    who = f"{other.get('command', 'a run')}, process {pid} on {host},"
    if host != socket.gethostname():
        raise OutputError(
            f"{who} writes {folder}",
            "one run at a time in a folder",
            f"wait for it or choose another -o; if it is gone, delete {folder / LOCK}",
        )
    if _lives(pid) and _started(pid) == other.get("started"):
        raise OutputError(
            f"{who} writes {folder}", "one run at a time in a folder", "wait for it, or choose another -o"
        )
    sys.stderr.write(f"medseg: {who} is gone; its lock on {folder} was taken over\n")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """When the process began, in the kernel's ticks, as its number may be given anew; empty off Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except OSError:
        return {}


def _parsed(text: str) -> dict[str, Any]:
    """What a lock says; nothing where a machine stopped before it was written."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
