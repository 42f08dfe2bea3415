"""Prepares a case and looks at it: what would spoil a night is found before the first step, with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from monai.transforms import Compose, LoadImaged

from medseg.data.relabelling import usable
from medseg.errors import DataError, LabelError
from medseg.training.references import Labels, declared_numbers, untouched


def prepared(
    row: Mapping[str, Any], transform: Callable[[Any], Any], labels: Labels | None
) -> dict[str, Any]:
    """A case after `transform`, whose voxels are finite and whose labels are declared.

    Where the transform's first steps read the files, what they read is looked at too: a later cast would turn
    a label of 257 into 1, and a percentile of an image with one NaN makes all of it NaN. A row's ``relabel``
    (value in the file to declared number) is applied to the label map as it was read.

    Raises:
        LabelError: a label that isn't declared, isn't a whole number or doesn't fit a byte.
        DataError: an image with a voxel that isn't finite.
    """
    name = _name_of(row)
    case, n_done = _read(row, transform, name)
    _look_at_image(case, name)
    _look_at_file_labels(case, name)
    _relabel(case, row, labels)
    if n_done:
        case = cast(Compose, transform)(case, start=n_done)
        _look_at_image(case, name)
    if labels is not None and isinstance(case.get("label"), torch.Tensor):
        _look_at_labels(torch.as_tensor(case["label"]), labels, name)
    return {key: value for key, value in case.items() if key != "relabel"}


def without_label(
    row: Mapping[str, Any], transform: Callable[[Any], Any], labels: Labels | None
) -> dict[str, Any]:
    """As `prepared`, of the scan alone; its label map is looked at as it lies in its file, and left there.

    Raises:
        LabelError: a label that isn't declared.
        DataError: an image with a voxel that isn't finite; a label map that can't be read, or isn't on the
            scan's grid.
    """
    case = prepared({key: value for key, value in row.items() if key != "label"}, transform, labels)
    if "label" in row:
        label = untouched(row, case.get("image"), labels)
        if labels is not None:
            _look_at_labels(torch.as_tensor(label), labels, _name_of(row))
    return case


def _name_of(row: Mapping[str, Any]) -> str:
    return str(row.get("case", row.get("image", "without a name")))


def _read(row: Mapping[str, Any], transform: Callable[[Any], Any], name: str) -> tuple[Any, int]:
    """The case after the steps that read its files, and how many they were; 0 where all steps were done."""
    steps = transform.transforms if isinstance(transform, Compose) else ()
    n_reading = next((n for n, s in enumerate(steps) if not isinstance(s, LoadImaged)), len(steps))
    if not isinstance(transform, Compose) or len(steps) < 2:
        return transform(dict(row)), 0
    n_reading = max(1, n_reading)
    return _loaded(row, transform, name, n_reading), n_reading


def _relabel(case: dict[str, Any], row: Mapping[str, Any], labels: Labels | None) -> None:
    """Change the label map's values to those that the manifest says they stand for."""
    label, relabel = case.get("label"), row.get("relabel")
    if relabel and isinstance(label, torch.Tensor):
        changes = relabel if labels is None else usable(relabel, declared_numbers(labels))
        renamed = label.clone()
        for old, new in changes.items():
            renamed[label == old] = new
        case["label"] = renamed


def _loaded(row: Mapping[str, Any], transform: Compose, name: str, n_reading: int) -> Any:
    try:
        return transform(dict(row), end=n_reading)
    except (OSError, RuntimeError, ValueError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise DataError(
            f"case {name} can't be read: {' '.join(str(cause).split())[:200]}",
            "whole image files",
            "look at it with `medseg data check`",
        ) from error


def _look_at_image(case: Mapping[str, Any], name: str) -> None:
    image = case.get("image")
    if isinstance(image, torch.Tensor) and image.is_floating_point():
        n_bad = int((~torch.isfinite(torch.as_tensor(image))).sum())
        if n_bad:
            raise DataError(
                f"case {name}: {n_bad} voxels of its image are NaN or infinite",
                "finite intensities",
                "repair the image or take the case out of the manifest",
            )


def _look_at_file_labels(case: Mapping[str, Any], name: str) -> None:
    label = case.get("label")
    if isinstance(label, torch.Tensor):
        values = torch.unique(torch.as_tensor(label)).double()
        strange = [float(v) for v in values if not (0 <= v <= 255 and v == v.round())]
        if strange:
            raise LabelError(
                f"case {name}: label values {_few(strange)}",
                "whole numbers from 0 to 255",
                "repair the label map or take the case out of the manifest",
            )


def _look_at_labels(label: torch.Tensor, labels: Labels, name: str) -> None:
    declared = declared_numbers(labels)
    if label.shape[0] > 1:  # one map per region: each is 0 or 1
        declared = {0, 1}
    undeclared = sorted({float(v) for v in torch.unique(label)} - {float(v) for v in declared})
    if undeclared:
        raise LabelError(
            f"case {name}: label values {_few(undeclared)}",
            f"only {', '.join(map(str, sorted(declared)))}",
            "declare them in `labels`, map them in preprocessing, or repair the label map",
        )


def _few(values: list[float]) -> str:
    return ", ".join(f"{v:g}" for v in values[:5]) + (" …" if len(values) > 5 else "")
