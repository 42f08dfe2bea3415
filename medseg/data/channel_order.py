"""The channels of a list of scans in the order that a bundle wants them: matched by name, never by place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from medseg.data.cases import Case
from medseg.data.manifest import Manifest
from medseg.data.words import CHANNELS
from medseg.errors import ManifestError

_MADE_UP = re.compile(r"(channel|image|modality|input)?[ _]?\d*", re.IGNORECASE)


def in_order_of(manifest: Manifest, wanted: Sequence[str]) -> Manifest:
    """The manifest with its images, hashes and names in the order of `wanted`, what isn't wanted left out.

    Unchanged where either side doesn't name its channels, or neither knows a name of the other.

    Raises:
        ManifestError: a wanted channel is not there, or all channels are in one file in another order.
    """
    try:
        places = places_of(manifest.channels, wanted)
    except ManifestError as error:
        raise error.within(f"the manifest {manifest.name}") from None
    if places is None:
        return manifest
    items = tuple(_reordered(case, places, manifest.channels, wanted) for case in manifest.items)
    return replace(manifest, channels=tuple(manifest.channels[i] for i in places), items=items)


def places_of(own: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where in `own` each wanted channel is; None where nothing is to be done or can be told.

    Raises:
        ManifestError: a wanted channel is not there.
    """
    have, want = [spelt(name) for name in own], [spelt(name) for name in wanted]
    if (
        not have
        or not want
        or have == want
        or not (_are_names(have) and _are_names(want))
        or len(have) == len(want) == 1
    ):
        return None
    known = set(CHANNELS.values())
    if not set(have) & set(want) and not {*have, *want} <= known:
        return None
    missing = [name for name, key in zip(wanted, want, strict=True) if key not in have]
    if missing:
        raise ManifestError(
            f"channels {', '.join(own)}, none of them {' or '.join(missing)}",
            f"{', '.join(wanted)}, as the bundle takes them",
            "name the channels as the bundle does, or add what is missing",
        )
    return [have.index(key) for key in want]


def spelt(name: str) -> str:
    """A channel's name in one spelling: BraTS' ``t1c``, ``T1Gd`` and ``T1ce`` are one."""
    low = name.strip().lower()
    return CHANNELS.get(low, low)


def _are_names(names: Sequence[str]) -> bool:
    """True where there are channels, each with a name of its own that somebody chose."""
    return (
        len(names) > 0
        and len(set(names)) == len(names)
        and not any(_MADE_UP.fullmatch(name) for name in names)
    )


def _reordered(case: Case, places: Sequence[int], own: Sequence[str], wanted: Sequence[str]) -> Case:
    if len(case.image) != len(own):
        raise ManifestError(
            f"case {case.case} holds the channels {', '.join(own)} in {len(case.image)} file"
            + ("s" if len(case.image) > 1 else ""),
            f"{', '.join(wanted)} in this order, or a file for each channel",
            "store them in that order, or name a file for each",
        )
    hashes = case.sha256.get("image", ())
    moved = {"image": tuple(hashes[i] for i in places)} if len(hashes) == len(own) else {}
    kept = {kind: value for kind, value in case.sha256.items() if kind != "image"}
    return replace(case, image=tuple(case.image[i] for i in places), sha256={**moved, **kept})
