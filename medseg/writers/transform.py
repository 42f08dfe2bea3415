"""The last step of a bundle's post-processing: a label map on disk, on the scan's own grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medseg.errors import GeometryError, OutputError
from medseg.writers.images import PICTURES, write_picture
from medseg.writers.names import output_name
from medseg.writers.nifti import write_label_map


class SaveLabelMapd(MapTransform):
    """Writes each label map on the grid of the scan it came from and passes the data on unchanged.

    Stands where MONAI's ``SaveImaged`` would, and differs in four ways: uint8, the scan's own qform and
    sform with their codes, the scan's own file name, and no half-written file under that name ever.

    Args:
        keys: label maps of shape (1, x, y[, z]) that know their scan (``meta["filename_or_obj"]``). That
            of a picture is written as one. Where the data hold a ``case``, its name is the file's.
        folder: of the files, made where it is missing.
        data_root_dir: where given, subfolders below it are repeated below ``folder``.
        overwrite: replace files of an earlier run, as ``SaveImaged`` does. Two scans of one run never
            share a file.
    """

    def __init__(
        self,
        keys: KeysCollection,
        folder: str | Path,
        *,
        data_root_dir: str | Path | None = None,
        overwrite: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.folder, self.overwrite = Path(folder), overwrite
        self.data_root_dir = Path(data_root_dir) if data_root_dir else None
        self._source_of: dict[Path, Path] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write every key's label map."""
        for key in self.key_iterator(data):
            self.save(data[key], str(data.get("case", "")))
        return dict(data)

    def save(self, labels: MetaTensor, case: str = "") -> Path:
        """The path of the written file.

        Args:
            labels: shape (1, x, y, z), or (1, x, y) for a picture.
            case: the name of the case; the scan's own file name if left out.

        Raises:
            OutputError: two scans of this run would share a file, or the file exists.
            GeometryError: more than one channel, or not on the scan's grid.
        """
        scan = Path(labels.meta["filename_or_obj"])
        folder = self.folder
        if self.data_root_dir is not None:
            folder = folder / scan.resolve().parent.relative_to(self.data_root_dir.resolve())
        path = folder / output_name(scan.with_name(case + _ending(scan)) if case else scan)
        if self._source_of.setdefault(path, scan) != scan:
            raise OutputError(
                f"{path} for both {self._source_of[path]} and {scan}", "a file for each", "set data_root_dir"
            )
        if labels.shape[0] != 1:
            raise GeometryError(
                f"{labels.shape[0]} channels for {scan}",
                "a label map with one channel",
                "take the argmax before",
            )
        label_map = np.asarray(labels[0].cpu()).round().astype(np.int64)
        if path.suffix in PICTURES:
            return write_picture(path, label_map, overwrite=self.overwrite)
        return write_label_map(path, label_map, like=scan, overwrite=self.overwrite)


def _ending(scan: Path) -> str:
    name = scan.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else scan.suffix
