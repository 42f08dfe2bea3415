"""What is done to a label map after the network: components, holes, refinement."""

from medseg.postprocess.components import KeepLargestd, keep_largest

__all__ = ["KeepLargestd", "keep_largest"]
