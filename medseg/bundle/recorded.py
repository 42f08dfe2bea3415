"""Bundles that are known by the hash of all that could run in them: ours, and those a user has recorded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from medseg.errors import BundleError

_CODE = (
    ".py",
    ".pyc",
    ".pyw",
    ".pyx",
    ".so",
    ".pyd",
    ".dll",
    ".dylib",
    ".sh",
    ".ts",
    ".pkl",
    ".pickle",
    ".joblib",
)


_LARGEST = 64 << 20


def digest(root: Path) -> str:
    """The sha256 of a bundle's configs, metadata, logging.conf and code: path and content of each file.

    Weights are not in it (``models/SHA256SUMS``, which is in it, speaks for them), nor are documents. Empty,
    which is never recorded, where one of the files has more than 64 MiB.
    """
    whole = hashlib.sha256()
    for path in sorted(_files(root)):
        if path.stat().st_size > _LARGEST:
            return ""
        whole.update(f"{path.relative_to(root).as_posix()}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = [f for f in folders if f != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            top = path.relative_to(root).parts[0]
            counts = top in ("configs", "scripts") or name == "SHA256SUMS" or path.suffix.lower() in _CODE
            if counts and path.is_file():
                yield path


def recorded_as(hash_: str) -> str:
    """The name under which a digest is recorded, in the package or by this user; empty where it is not."""
    return {**_read(_users()), **shipped()}.get(hash_, "") if hash_ else ""


def shipped() -> dict[str, str]:
    """Digest to name and version of the bundles that come with medseg."""
    text = files("medseg.bundle").joinpath("recorded.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def record(root: Path) -> str:
    """Remember the bundle as it is now: it opens in full mode until a file that could run is changed.

    Returns:
        Its digest.

    Raises:
        BundleError: a file that counts is too large, or the user's list is damaged.
    """
    place = _users()
    known = _read(place)
    if not (hash_ := digest(root)):
        raise BundleError(
            f"{root} has a config or script beyond 64 MiB", "text of ordinary size", "make it smaller"
        )
    known[hash_] = root.resolve().name
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(place)
    return hash_


def _users() -> Path:
    base = os.environ.get("MEDSEG_HOME") or os.path.join(os.path.expanduser("~"), ".config", "medseg")
    return Path(base) / "recorded.json"


def _read(place: Path) -> dict[str, str]:
    if not place.is_file():
        return {}
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(
            f"{place} is not JSON ({error})", "hashes of bundles", "delete it and record again"
        ) from error
    if not isinstance(known, dict):
        raise BundleError(f"{place} is no JSON object", "hashes of bundles", "delete it and record again")
    return {str(k): str(v) for k, v in known.items()}
