"""Find, run, check and export a bundle."""

from medseg.bundle.root import bundle_root

__all__ = ["bundle_root"]
