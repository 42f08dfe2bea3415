"""From a scan to scores on its own grid: windows, runtimes and the way back."""

from medseg.inference.cases import scans_in

__all__ = ["scans_in"]
