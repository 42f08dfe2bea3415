"""Networks that MONAI lacks, and one registry for those and MONAI's own."""

from medseg.networks.classifier import build_classifier
from medseg.networks.encoders import NAMES as ENCODERS
from medseg.networks.encoders import build_encoder
from medseg.networks.freezing import FreezeSchedule, freeze, parameter_groups
from medseg.networks.own import NAMES as OWN_NAMES
from medseg.networks.registry import NAMES, build

__all__ = [
    "ENCODERS",
    "NAMES",
    "OWN_NAMES",
    "FreezeSchedule",
    "build",
    "build_classifier",
    "build_encoder",
    "freeze",
    "parameter_groups",
]
