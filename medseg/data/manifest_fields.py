"""The fields of a manifest in JSON, each checked as it is read; a bad one is a `ManifestError`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from medseg.data.cases import Case
from medseg.errors import ManifestError

_CASE_KEYS = ("case", "patient", "image", "label", "sha256", "fold")


def case_of(entry: object, split: str) -> Case:
    """The case of an entry in a split's list."""
    if not isinstance(entry, dict) or not entry.get("case") or "image" not in entry:
        raise broken(
            f"an entry in {split!r} without case or image: {str(entry)[:80]}", "case, patient, image, label"
        )
    name = str(entry["case"])
    image = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    label, hashes, fold = entry.get("label"), entry.get("sha256") or {}, entry.get("fold")
    if not image or not isinstance(hashes, dict) or (fold is not None and not _is_integer(fold)):
        raise broken(f"case {name!r} has image {image!r}, sha256 {hashes!r}, fold {fold!r}", "see README.md")
    return Case(
        case=name,
        patient=str(entry.get("patient", name)),
        image=tuple(_relative(name, p) for p in image),
        label=None if label is None else _relative(name, label),
        sha256={k: tuple(v) if isinstance(v, list) else (v,) for k, v in hashes.items() if v},
        fold=fold,
        split=split,
        extra={k: v for k, v in entry.items() if k not in _CASE_KEYS},
    )


def archive_of(entry: object) -> Mapping[str, Any]:
    """An archive to fetch, which has an address."""
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        raise broken(f"'archives' has {str(entry)[:80]}", "url, and sha256 or md5 where they are published")
    return entry


def figure_of(entry: object) -> Mapping[str, Any]:
    """An inter-rater figure with its source; one without a source is a rumour."""
    wanted: dict[str, type | tuple[type, ...]] = {
        "structure": str,
        "metric": str,
        "value": (int, float),
        "source": str,
    }
    if not isinstance(entry, dict) or not all(isinstance(entry.get(k), kind) for k, kind in wanted.items()):
        raise broken(f"'inter_rater' has {str(entry)[:80]}", "structure, metric, value and source")
    return entry


def _relative(case: str, path: object) -> str:
    """The path as it is, once it is known to stay inside the data set's folder."""
    text = path if isinstance(path, str) else ""
    pure = PurePosixPath(text.replace("\\", "/"))
    if not text or pure.is_absolute() or ".." in pure.parts or text[1:2] == ":":
        raise broken(f"case {case!r} has the path {path!r}", "a path inside the data set's folder")
    return pure.as_posix()


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def integer_of(value: object) -> int:
    """A label value, written as a number or as its digits."""
    if not _is_integer(value) and not (isinstance(value, str) and value.lstrip("-").isdigit()):
        raise broken(f"label value {value!r}", "a whole number")
    return int(value)  # type: ignore[call-overload]


def numbers_of(name: object, value: object) -> int | tuple[int, ...]:
    """The label value of a structure, or several of them."""
    if isinstance(value, list):
        return tuple(integer_of(v) for v in value)
    if not _is_integer(value):
        raise broken(f"label {name!r} is {value!r}", "a number, or a list of numbers")
    return integer_of(value)


def as_tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Label values as a tuple, also where there is one."""
    return (value,) if isinstance(value, int) else value


def broken(found: str, expected: str) -> ManifestError:
    """The error for what is no manifest, with where to look it up."""
    return ManifestError(found, expected, "see data_manifests/README.md, or run `medseg data scan`")
