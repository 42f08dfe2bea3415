"""Bundles that are known by the hash of all that could run in them: ours, and those a user has recorded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from medseg.bundle.weights import SUMS, write_sums
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

    Not in it are documents, weights (no code in them can run, and ``models/SHA256SUMS`` speaks for them) and
    ``configs/overrides.json``, which only tells how a copy was trained. Empty, which is never recorded, where
    one of the files has more than 64 MiB.
    """
    whole = hashlib.sha256()
    for path in sorted(_files(root)):
        if path.stat().st_size > _LARGEST:
            return ""
        whole.update(os.fsencode(f"{path.relative_to(root).as_posix()}\0"))
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root, followlinks=False):
        for name in names:
            path = Path(folder, name)
            inside = path.relative_to(root)
            counts = inside.parts[0] in ("configs", "scripts") or path.suffix.lower() in _CODE
            if counts and inside.as_posix() != "configs/overrides.json" and path.is_file():
                yield path


def recorded_as(hash_: str) -> str:
    """The name under which a digest is recorded, in the package or by this user; empty where it is not."""
    return {**_read(_users()), **shipped()}.get(hash_, "") if hash_ else ""


def shipped() -> dict[str, str]:
    """Digest to name and version of the bundles that come with medseg."""
    text = files("medseg.bundle").joinpath("recorded.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def record_shipped(bundles: Iterable[Path], place: Path) -> None:
    """Write the package's list anew, and the lists of hashes of each of the bundles: `make record`."""
    known: dict[str, str] = {}
    for root in bundles:
        if (root / "models").is_dir():
            write_sums(root)
        version = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"]
        known[digest(root)] = f"{root.name} {version}"
    by_name = dict(sorted(known.items(), key=lambda item: item[1]))
    place.write_text(json.dumps(by_name, indent=2) + "\n", encoding="utf-8")


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


def unseal(root: Path) -> None:
    """Take the lists of hashes away before new weights are written: they would speak of the old ones."""
    for place in (root / SUMS, root / "models" / SUMS):
        place.unlink(missing_ok=True)


def seal(root: Path, *, known: bool) -> None:
    """Write the lists of hashes of a bundle that was just trained here, and remember it.

    Args:
        root: the trained bundle.
        known: it was made from a bundle that is recorded, so it is to run in full mode too.
    """
    write_sums(root)
    if known and not recorded_as(digest(root)):
        record(root)


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


def main() -> None:
    """`make record`: every bundle of this repository, and the demo's."""
    package = Path(__file__).parents[1]
    found = sorted(p.parents[1] for p in package.parent.glob("bundles/*/configs/metadata.json"))
    record_shipped([*found, package / "cli" / "demo_bundle"], Path(__file__).with_name("recorded.json"))


if __name__ == "__main__":
    main()
