"""Fetching a public data set: resumed, checked against its published hash, unpacked with distrust."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from medseg.data.manifest import Manifest
from medseg.data.transfer import Progress, download
from medseg.data.unpack import unpack, unpack_all
from medseg.errors import DownloadError, OutputError
from medseg.hashes import file_hash


def fetch(
    manifest: Manifest,
    folder: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
    attempts: int = 5,
    wait_s: float = 2.0,
) -> int:
    """The number of files put into `folder`; 0 where every file of the manifest was there and right.

    The archive is downloaded to ``folder/.download``, resumed where an earlier try broke off, checked against
    the md5 of the manifest, unpacked beside it, and every file checked against its sha256; only then do the
    files move to their places, so a folder never holds a file that was not checked.

    Raises:
        DownloadError: no source, no connection, or something is not what was published.
        OutputError: the folder holds another file of the same name and `overwrite` is off.
    """
    if manifest.access:
        raise _account_needed(manifest, Path(folder))
    if not manifest.download.get("url") or not manifest.download.get("md5"):
        raise DownloadError(
            f"the manifest {manifest.name} names no download",
            "`download` with url and md5",
            f"fetch the data by hand from {manifest.source or 'their source'}",
        )
    root = Path(folder)
    wanted = _missing(manifest, root, overwrite)
    if not wanted:
        return 0
    url, md5 = str(manifest.download["url"]), str(manifest.download["md5"])
    work = root / ".download"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write in {root}: {error.strerror}", "a folder", "choose another"
        ) from error
    archive = work / (Path(urllib.parse.urlparse(url).path).name or "archive.tar")
    download(url, archive, md5, progress=progress, attempts=attempts, wait_s=wait_s)
    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(archive, unpacked, wanted, root=str(manifest.download.get("root", "")))
    for path in wanted:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / path).replace(root / path)
    shutil.rmtree(work)
    return len(wanted)


def _account_needed(manifest: Manifest, folder: Path) -> DownloadError:
    layout = "; ".join(str(line) for line in manifest.access.get("layout", []))
    return DownloadError(
        f"{manifest.name} is given to registered users only",
        f"the files below {folder} as: {layout}",
        f"register at {manifest.access.get('register')}, unpack what you get there, then "
        f"`medseg data scan {folder} -o {manifest.name}.json`",
    )


def fetch_archives(
    manifest: Manifest,
    folder: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    attempts: int = 5,
    wait_s: float = 2.0,
) -> dict[str, str]:
    """What each of the manifest's archives was checked against, by address; all are unpacked in `folder`.

    For public data whose cases the manifest does not list. An archive whose source publishes no hash is told
    as ``unchecked``. One that was unpacked before is left alone.

    Raises:
        DownloadError: no connection, or an archive is not what was published.
        DataError: an archive is damaged or leads outside.
    """
    root, checks = Path(folder), {}
    work = root / ".download"
    work.mkdir(parents=True, exist_ok=True)
    for entry in manifest.archives:
        url = str(entry["url"])
        name = Path(urllib.parse.urlparse(url).path).name
        algorithm = next((a for a in ("sha256", "md5") if entry.get(a)), "")
        checks[url] = f"{algorithm} {entry[algorithm]}" if algorithm else "unchecked"
        if (work / f"{name}.done").exists():
            continue
        digest = str(entry[algorithm]) if algorithm else ""
        options = {"progress": progress, "attempts": attempts, "wait_s": wait_s}
        download(url, work / name, digest, algorithm=algorithm or "sha256", **options)  # type: ignore[arg-type]
        unpack_all(work / name, work / "unpacked")
        _move(work / "unpacked", root)
        (work / name).unlink()
        (work / f"{name}.done").touch()
    return checks


def _move(unpacked: Path, root: Path) -> None:
    """Every unpacked file to its place."""
    for file in sorted(p for p in unpacked.rglob("*") if p.is_file()):
        target = root / file.relative_to(unpacked)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    shutil.rmtree(unpacked)


def _missing(manifest: Manifest, root: Path, overwrite: bool) -> dict[str, str]:
    """Path to sha256 of every file of the manifest that is not in the folder yet."""
    files = {path: sha256 for c in manifest.items for _, path, sha256 in c.files()}
    for path, sha256 in list(files.items()):
        if not (root / path).exists():
            continue
        if not sha256 or file_hash(root / path) == sha256:
            del files[path]
        elif not overwrite:
            raise OutputError(
                f"{root / path} is there but is not the published file",
                "a new or an empty folder",
                "choose another folder with --to, or say --overwrite",
            )
    return files
