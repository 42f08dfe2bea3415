"""From a folder of scans to a trained, verified MONAI bundle; from a scan to a label map with a report."""

__version__ = "0.1.0"
