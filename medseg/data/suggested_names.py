"""Names for channels and label values that a layout does not tell, by what some of its files hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medseg.data.isolation import Reader
from medseg.data.layouts import Layout
from medseg.data.reading import Image, examine

_BRATS = {"necrosis": 1, "oedema": 2, "enhancing": 3}
_BRATS_REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
_ACDC = {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
_LOOK_AT = 300


def suggest_names(folder: Path, layout: Layout, reader: Reader) -> None:
    """Open some cases to learn label values and channels, and add what follows from them."""
    drawn = [c for c in layout.cases if c.label is not None]
    chosen = drawn[:: -(-len(drawn) // _LOOK_AT) or 1]
    values: set[int] = set()
    for c in chosen:
        image, _ = examine(folder / str(c.label), reader=reader)
        if image is not None and image.array.dtype.kind in "iubf" and np.all(np.isfinite(image.array)):
            values.update(int(v) for v in np.unique(np.rint(image.array))[:300])
    if len(chosen) < len(drawn):
        layout.notes.append(f"label values are those of {len(chosen)} of the {len(drawn)} label maps")
    opened = (examine(folder / p, reader=reader)[0] for c in layout.cases[:3] for p in c.image)
    samples = [i for i in opened if i is not None]
    _name_channels(layout, samples)
    _name_labels(layout, values - {0})


def _name_brats(layout: Layout, values: set[int]) -> None:
    """2014 to 2022 call the enhancing part 4, 2023 calls it 3; 2013 and 2024 have four structures."""
    layout.labels, layout.regions = dict(_BRATS), dict(_BRATS_REGIONS)
    if {3, 4} <= values and any("VSD.Brain" in c.image[0] for c in layout.cases):
        layout.labels = {"necrosis": 1, "oedema": 2, "non-enhancing": 3, "enhancing": 4}
        layout.regions = {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}
    elif {3, 4} <= values:
        layout.labels["resection cavity"] = 4
        layout.regions["RC"] = (4,)
        layout.notes.append(
            "labels 3 and 4 both occur: 4 is taken for the resection cavity, as in BraTS 2024"
        )
    elif 4 in values:
        layout.relabel = {4: 3}
        layout.notes.append("label 4 (enhancing) is read as 3; regions WT, TC, ET suggested")


def _name_channels(layout: Layout, samples: Sequence[Image]) -> None:
    per_case = len(layout.cases[0].image)
    if not samples:
        return
    count = per_case if per_case > 1 else samples[0].channels
    if len(layout.channels) == count:
        return
    if samples[0].is_rgb:
        layout.channels = (
            ["red", "green", "blue"][:count] if count <= 3 else [f"channel {n}" for n in range(count)]
        )
    elif count == 1:
        layout.channels = [_modality(samples[0], layout)]
    else:
        layout.channels = [f"channel {n}" for n in range(count)]
        layout.notes.append(f"{count} channels without names: name them in the manifest")


def _modality(image: Image, layout: Layout) -> str:
    if image.modality:
        return image.modality
    if not image.has_grid:
        return "grey"
    lowest = float(np.nanmin(image.array))
    guess = "CT" if lowest <= -200 else "MR"
    layout.notes.append(f"modality {guess} guessed from intensities (lowest {lowest:g}): correct it if wrong")
    return guess


def _are_jpeg(layout: Layout) -> bool:
    return any(str(c.label).lower().endswith((".jpg", ".jpeg")) for c in layout.cases)


def _name_labels(layout: Layout, values: set[int]) -> None:
    """Names and numbers for the values that were seen, and a suggestion where the numbers should change."""
    order = sorted(values)
    known = {n for v in layout.labels.values() for n in ([v] if isinstance(v, int) else v)}
    if layout.name == "BraTS" and values <= {1, 2, 3, 4}:
        _name_brats(layout, values)
        return
    if layout.name == "ACDC" and values <= {1, 2, 3}:
        layout.labels = dict(_ACDC)
        return
    if known and values <= known | set(layout.ignored):
        return
    if order and len(order) > 8 and order[-1] >= 245 and _are_jpeg(layout):
        layout.relabel, layout.labels = {255: 1}, layout.labels or {"foreground": 1}
        layout.notes.append("label maps are JPEG, which smears 0 and 255: store them as PNG, cut at 128")
        return
    if order and order[-1] == 255 and len(order) <= 8 and (len(order) == 1 or order[0] >= 20):
        layout.relabel = {value: number for number, value in enumerate(order, 1)}
        words = ", ".join(f"{a} to {b}" for a, b in layout.relabel.items())
        layout.notes.append(f"label values are a picture's: {words} suggested, no file is changed")
        order = list(range(1, len(order) + 1))
    if known:
        layout.notes.append(
            f"label values {sorted(values - known - set(layout.ignored))} are not in dataset.json"
        )
        return
    single = "lesion" if layout.name == "ISIC" else "foreground"
    layout.labels = {single: order[0]} if len(order) == 1 else {f"structure {n}": n for n in order[:256]}
    if order and single != "lesion":
        layout.notes.append("names of structures are made up: name them in the manifest")
    if order and order != list(range(1, len(order) + 1)):
        layout.notes.append(
            f"label values {order[:12]} are not consecutive; `relabel` in the manifest can map them"
        )
