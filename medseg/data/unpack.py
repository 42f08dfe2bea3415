"""Unpacking an archive with distrust: only what was asked for, only if all is harmless."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from medseg.errors import DataError, DownloadError

# Scans are compressed already, so an archive of them hardly shrinks; a bomb swells a thousandfold.
_SWELL = 50
_SLACK = 64 << 20
_MEMBERS = 1_000_000
_BLOCK = 1 << 20
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error),
    # zipfile's words for an encrypted member and for an unknown compression.
    *(RuntimeError, NotImplementedError),
)


def unpack(archive: Path, folder: Path, wanted: Mapping[str, str], *, root: str = "") -> None:
    """Put the `wanted` files (path to sha256) of a tar or zip below `root` into `folder`, each one checked.

    Raises:
        DownloadError: the archive is damaged, holds a path that leads outside, a link, a device or far more
            bytes than its size allows, lacks a wanted file, or a file has another hash.
    """
    left = dict(wanted)
    try:
        with closing(_files(archive, root)) as files:
            for path, size, stream in files:
                if path in left:
                    _write(archive, stream, folder / path, size, left.pop(path))
    except _DAMAGED as error:
        _refuse(archive, f"it is damaged: {error}")
    if left:
        _refuse(archive, f"{len(left)} of {len(wanted)} files are not in it, first {next(iter(left))}")


def unpack_all(archive: Path, folder: Path) -> Path:
    """The folder with every file of a user's tar or zip, by `unpack`'s rules; used again where it exists.

    Raises:
        DataError: the archive is damaged, or `unpack` would refuse it.
    """
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with closing(_files(archive, "")) as files:
            for path, size, stream in files:
                _write(archive, stream, partial / path, size, "")
    except _DAMAGED as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(f"{archive.name} is damaged: {error}", "a whole archive", "export it anew") from error
    except DownloadError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(error.found, "a harmless archive", "unpack it by hand where you trust it") from error
    partial.rename(folder)
    return folder


def _files(archive: Path, root: str) -> Generator[tuple[str, int, IO[bytes]], None, None]:
    """The files as (path below `root`, size, stream); each member is judged before the next is given."""
    budget = _SWELL * archive.stat().st_size + _SLACK
    with _open(archive) as members:
        for number, (name, size, kind, stream) in enumerate(members):
            budget -= max(0, size)
            if budget < 0 or number >= _MEMBERS:
                _refuse(archive, f"{name} takes it beyond {_SWELL} times its own size")
            path = _inside(archive, name, kind, root)
            if kind == "file":
                yield path, size, stream


def _inside(archive: Path, name: str, kind: str, root: str) -> str:
    """The member's path below `root`, or its own where it lies elsewhere in the archive."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or name[1:2] == ":" or "\x00" in name:
        _refuse(archive, f"{name} leads outside")
    if kind not in ("file", "folder"):
        _refuse(archive, f"{name} is a {kind}")
    return str(pure.relative_to(root)) if root and pure.is_relative_to(root) else str(pure)


def _write(archive: Path, stream: IO[bytes], target: Path, size: int, sha256: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, written = hashlib.sha256(), 0
    with target.open("xb") as out:
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > size:
                _refuse(archive, f"{target.name} is longer than it says")
            digest.update(block)
            out.write(block)
    if sha256 and digest.hexdigest() != sha256:
        _refuse(archive, f"{target.name} has sha256 {digest.hexdigest()}, not {sha256}")


Members = Generator[tuple[str, int, str, IO[bytes]], None, None]


@contextmanager
def _open(archive: Path) -> Iterator[Members]:
    """The members as (name, size, kind, stream), whichever kind of archive it is."""
    if zipfile.is_zipfile(archive):
        # A member that was refused in the middle would hold the archive open.
        with zipfile.ZipFile(archive) as packed, closing(_zip_members(packed)) as members:
            yield members
    else:
        # Streaming: a member is judged by its header before a byte of it is read.
        with tarfile.open(archive, "r|*") as stream:
            yield _tar_members(stream)


def _tar_members(packed: tarfile.TarFile) -> Members:
    for member in packed:
        kind = "file" if member.isreg() and not member.issparse() else _tar_kind(member)
        data = packed.extractfile(member) if kind == "file" else None
        yield member.name, member.size, kind, data  # type: ignore[misc]


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issparse():
        return "sparse file"
    return "link" if member.issym() or member.islnk() else "device"


def _zip_members(packed: zipfile.ZipFile) -> Members:
    for entry in packed.infolist():
        if entry.is_dir():
            yield entry.filename, 0, "folder", None  # type: ignore[misc]
            continue
        mode = entry.external_attr >> 28
        kind = {0: "file", 8: "file", 10: "link"}.get(mode, "device")
        with packed.open(entry) as data:
            yield entry.filename, entry.file_size, kind, data


def _refuse(archive: Path, why: str) -> NoReturn:
    raise DownloadError(
        f"{archive.name}: {why}", "the published data set", "delete it and fetch it again, or report it"
    )
