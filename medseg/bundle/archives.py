"""A bundle that is given as an archive: judged by its list of contents, never unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from medseg.errors import BundleError

_LINK, _SWELL, _SLACK = 0xA, 50, 64 << 20


def demand_folder(bundle: Path) -> None:
    """Return where the bundle is no file.

    Raises:
        BundleError: it is a file; for a zip the message tells what in it means harm, if anything does.
    """
    if not bundle.is_file():
        return
    if why := _harm(bundle):
        raise BundleError(
            f"{bundle.name} is an archive that {why}", "a bundle", "delete it; do not unpack it"
        )
    raise BundleError(
        f"{bundle} is a file", "the folder of a bundle", "unpack it and give the folder that holds configs/"
    )


def _harm(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as packed:
            entries = packed.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        return f"is damaged ({error})"
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            return f"leads outside by {entry.filename[:80]!r}"
        if entry.external_attr >> 28 == _LINK:
            return f"holds a link, {entry.filename[:80]!r}"
    total = sum(entry.file_size for entry in entries)
    return "swells beyond all measure" if total > _SWELL * path.stat().st_size + _SLACK else ""
