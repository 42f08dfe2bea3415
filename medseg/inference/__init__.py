"""From a scan to labels on its own grid: windows, runtimes and the way back.

`label_blocks` is the engine; `LabelMapInferer` is the same for a MONAI bundle's config, and
`MirroredWindowInferer` is MONAI's sliding window over mirrored views.
"""

from __future__ import annotations

from typing import Any

from medseg.inference.cases import scans_in

__all__ = ["LabelMapInferer", "MirroredWindowInferer", "scans_in"]


def __getattr__(name: str) -> Any:
    # MONAI takes seconds to import, and the command line imports this room.
    if name == "LabelMapInferer":
        from medseg.inference.inferer import LabelMapInferer

        return LabelMapInferer
    if name == "MirroredWindowInferer":
        from medseg.inference.mirrored import MirroredWindowInferer

        return MirroredWindowInferer
    raise AttributeError(name)
