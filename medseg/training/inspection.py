"""Prepares a case and looks at it: what would spoil a night is found before the first step, with its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from monai.transforms import Compose

from medseg.errors import DataError, LabelError

Labels = Mapping[str, int | Iterable[int]]


def prepared(
    row: Mapping[str, Any], transform: Callable[[Any], Any], labels: Labels | None
) -> dict[str, Any]:
    """A case after `transform`, whose voxels are finite and whose labels are declared.

    Where the transform's first step reads the files, what it read is looked at too: a later cast would turn a
    label of 257 into 1, and a percentile of an image with one NaN makes all of it NaN.

    Raises:
        LabelError: a label that isn't declared, isn't a whole number or doesn't fit a byte.
        DataError: an image with a voxel that isn't finite.
    """
    name = str(row.get("case", row.get("image", "without a name")))
    if isinstance(transform, Compose) and len(transform.transforms) > 1:
        case = _loaded(row, transform, name)
        _look_at_image(case, name)
        _look_at_file_labels(case, name)
        case = transform(case, start=1)
    else:
        case = transform(dict(row))
    _look_at_image(case, name)
    if labels is not None and isinstance(case.get("label"), torch.Tensor):
        _look_at_labels(torch.as_tensor(case["label"]), labels, name)
    return dict(case)


def _loaded(row: Mapping[str, Any], transform: Compose, name: str) -> Any:
    try:
        return transform(dict(row), end=1)
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
    declared = {0}
    for value in labels.values():
        declared.update([value] if isinstance(value, int) else value)
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
