"""Files for viewers: label maps as NIfTI, written whole, slice by slice, or as a bundle's last step."""

from __future__ import annotations

from typing import Any

from medseg.writers.names import output_name, output_paths
from medseg.writers.nifti import LabelMapFile, label_header, read_header, replacing, write_label_map

__all__ = [
    "LabelMapFile",
    "SaveLabelMapd",
    "label_header",
    "output_name",
    "output_paths",
    "read_header",
    "replacing",
    "write_label_map",
]


def __getattr__(name: str) -> Any:
    # MONAI takes seven seconds to import; only a bundle's post-processing needs it here.
    if name == "SaveLabelMapd":
        from medseg.writers.transform import SaveLabelMapd

        return SaveLabelMapd
    raise AttributeError(name)
