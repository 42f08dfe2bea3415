"""A prepared case as a folder of ``.npy`` files and one JSON file, and back: no pickle on either way."""

from __future__ import annotations

import enum
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import TraceKeys

from medseg.errors import TrainingError


def pack(case: dict[str, Any], folder: Path) -> None:
    """Write a case into an empty folder.

    Raises:
        TrainingError: a value of a kind that plain JSON and arrays can't hold.
    """
    content = {}
    for number, (key, value) in enumerate(case.items()):
        if isinstance(value, (torch.Tensor, np.ndarray)):
            file = f"{number}.npy"
            np.save(folder / file, np.ascontiguousarray(value), allow_pickle=False)
            content[key] = {"file": file, "kind": type(value).__name__}
            if isinstance(value, MetaTensor):
                content[key]["meta"] = _plain(dict(value.meta), key)
                content[key]["applied"] = _plain([_of_any(op) for op in value.applied_operations], key)
        else:
            content[key] = {"value": _plain(value, key)}
    (folder / "case.json").write_text(json.dumps(content))


def _of_any(operation: dict[str, Any]) -> dict[str, Any]:
    """What a transform did, without the number of the object that did it, which the next process lacks."""
    return {**operation, TraceKeys.ID: TraceKeys.NONE} if TraceKeys.ID in operation else operation


def unpack(folder: Path) -> dict[str, Any] | None:
    """The case that `pack` wrote, its arrays mapped copy-on-write; None where there is none that is whole."""
    try:
        content = json.loads((folder / "case.json").read_text())
        os.utime(folder / "case.json")  # used now: the last to be removed
        return {key: _read(folder, entry) for key, entry in content.items()}
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _read(folder: Path, entry: dict[str, Any]) -> Any:
    if "file" not in entry:
        return _rich(entry["value"])
    array = np.load(folder / entry["file"], mmap_mode="c", allow_pickle=False)
    if entry["kind"] == "ndarray":
        return array
    tensor = torch.from_numpy(array)
    if entry["kind"] != "MetaTensor":
        return tensor
    return MetaTensor(tensor, meta=_rich(entry["meta"]), applied_operations=_rich(entry["applied"]))


def _plain(value: Any, key: str) -> Any:
    """`value` as JSON; what JSON lacks becomes an object with one key that begins with ``$``."""
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), key)
    if isinstance(value, dict):
        return {"$dict": [[_plain(k, key), _plain(v, key)] for k, v in value.items()]}
    if isinstance(value, (tuple, torch.Size)):
        return {"$tuple": [_plain(v, key) for v in value]}
    if isinstance(value, list):
        return [_plain(v, key) for v in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            kind = "$tensor" if isinstance(value, torch.Tensor) else "$array"
            return {kind: array.tolist(), "dtype": array.dtype.str, "shape": array.shape}
        return _plain(array.tolist(), key)
    if isinstance(value, torch.dtype):
        return {"$dtype": str(value).removeprefix("torch.")}
    raise TrainingError(
        f"{key} holds a {type(value).__name__}, which the cache can't keep",
        "numbers, words, lists and arrays",
        "leave cache_dir out to keep cases in memory",
    )


def _rich(value: Any) -> Any:
    """What `_plain` made plain."""
    if isinstance(value, list):
        return [_rich(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$dict" in value:
        return {_rich(k): _rich(v) for k, v in value["$dict"]}
    if "$tuple" in value:
        return tuple(_rich(v) for v in value["$tuple"])
    if "$dtype" in value:
        return getattr(torch, value["$dtype"])
    array = np.array(value.get("$array", value.get("$tensor")), dtype=value["dtype"]).reshape(value["shape"])
    return torch.from_numpy(array) if "$tensor" in value else array
