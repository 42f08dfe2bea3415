"""Dictionary transforms that MONAI lacks, or does too slowly for a CPU.

All of them take and give tensors or arrays of shape (channel, x, y[, z]) and draw from MONAI's random state,
so that ``set_random_state``, `medseg.training.Visits` and MONAI's own loaders seed them as any other one.
"""

from medseg.transforms.channels import RandChannelDropoutd, RandColourJitterd
from medseg.transforms.flips import RandFlipPairsd
from medseg.transforms.foreground import ForegroundPointsd
from medseg.transforms.intensities import (
    RandBiasd,
    RandBlurd,
    RandBrightnessd,
    RandContrastd,
    RandGammad,
    RandLowResolutiond,
    RandNoised,
)
from medseg.transforms.patches import RandPatchd
from medseg.transforms.regions import LabelsToRegionsd
from medseg.transforms.resizing import ResizePictured

__all__ = [
    "ForegroundPointsd",
    "LabelsToRegionsd",
    "RandBiasd",
    "RandBlurd",
    "RandBrightnessd",
    "RandChannelDropoutd",
    "RandColourJitterd",
    "RandContrastd",
    "RandFlipPairsd",
    "RandGammad",
    "RandLowResolutiond",
    "RandNoised",
    "RandPatchd",
    "ResizePictured",
]
