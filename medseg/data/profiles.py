"""What is kept of a case once its files were read: small enough for thousands of cases at once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.data.findings import Finding

QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


@dataclass
class ChannelProfile:
    """One channel of one case.

    Attributes:
        file: its path in the data set's folder.
        content: hash of the voxels, whatever the header says.
        is_rgb, is_grey: colour, and colour whose three channels are alike.
        quantiles: intensities at `QUANTILES` per cent, of the voxels that are not the background's.
        zeros: share of voxels that equal the lowest value.
        thumb: 16x16x16 or 64x64 means in RAS order, standardised, as base64 of int8; empty where constant.
        modality: DICOM's, or empty.
    """

    file: str
    content: str
    is_rgb: bool
    is_grey: bool
    quantiles: list[float]
    zeros: float
    thumb: str = ""
    modality: str = ""

    def thumbnail(self) -> npt.NDArray[np.float32]:
        """The standardised thumbnail, flat."""
        scaled = np.frombuffer(base64.b64decode(self.thumb), np.int8).astype(np.float32)
        return np.asarray(scaled / 31, np.float32)


@dataclass
class StructureProfile:
    """One structure of one case: volume, centre in units of the field of view from its middle (RAS), mean
    intensity per channel in units of the image's own spread, and with `detail` components and quantiles.
    """

    number: int
    voxels: int
    volume_mm3: float
    centre: list[float]
    intensity: list[float]
    components: list[int] = field(default_factory=list)
    quantiles: list[list[float]] = field(default_factory=list)


@dataclass
class CaseProfile:
    """One case: its grid, channels and structures, and what is amiss with it taken alone."""

    case: str
    patient: str
    split: str
    findings: list[Finding] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    spacing_mm: list[float] = field(default_factory=list)
    codes: str = ""
    kind: str = ""
    has_grid: bool = False
    n_bytes: int = 0
    channels: list[ChannelProfile] = field(default_factory=list)
    structures: list[StructureProfile] = field(default_factory=list)
    label_content: str = ""
    has_label: bool = False
    mosaic: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> CaseProfile:
        """The inverse of `as_dict`."""
        inner = {
            "findings": [Finding(**f) for f in known["findings"]],
            "channels": [ChannelProfile(**c) for c in known["channels"]],
            "structures": [StructureProfile(**s) for s in known["structures"]],
        }
        return cls(**{**known, **inner})


@dataclass(frozen=True)
class Request:
    """What to profile: files of one case as (kind, path, sha256) and what the manifest declares."""

    case: str
    patient: str
    split: str
    root: str
    files: tuple[tuple[str, str, str], ...]
    n_channels: int
    numbers: tuple[int, ...]
    relabel: Mapping[int, int]
    hashes: bool = True
    detail: bool = False

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Request:
        """The inverse of `dataclasses.asdict` after JSON."""
        files = tuple((k, p, s) for k, p, s in known["files"])
        relabel = {int(k): int(v) for k, v in known["relabel"].items()}
        return cls(**{**known, "files": files, "numbers": tuple(known["numbers"]), "relabel": relabel})
