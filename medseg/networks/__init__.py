"""Networks that MONAI lacks, and one registry for those and MONAI's own."""

from medseg.networks.registry import NAMES, build

__all__ = ["NAMES", "build"]
