"""Manifests, reading, checking, splits and phantoms: everything between a folder and an array."""

from typing import Any

from medseg.data.datalists import datalist
from medseg.data.manifest import SPLITS, Case, Manifest, read_manifest, write_manifest

__all__ = ["SPLITS", "Case", "Manifest", "PictureReader", "datalist", "read_manifest", "write_manifest"]


def __getattr__(name: str) -> Any:
    # MONAI takes seconds to import; only a bundle's preprocessing needs it here.
    if name == "PictureReader":
        from medseg.data.pictures import PictureReader

        return PictureReader
    raise AttributeError(name)
