"""What is done to a label map after the network: components, holes, regions."""

from medseg.postprocess.components import FillHolesd, KeepLargestd, fill_holes, keep_largest
from medseg.postprocess.regions import RegionsToLabelsd, painted

__all__ = ["FillHolesd", "KeepLargestd", "RegionsToLabelsd", "fill_holes", "keep_largest", "painted"]
