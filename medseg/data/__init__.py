"""Manifests, reading, checking, splits and phantoms: everything between a folder and an array."""

from medseg.data.datalists import datalist
from medseg.data.manifest import SPLITS, Case, Manifest, read_manifest, write_manifest

__all__ = ["SPLITS", "Case", "Manifest", "datalist", "read_manifest", "write_manifest"]
