"""What is wrong with a bundle, told without running any of it: no torch, no MONAI, no network."""

from medseg.bundle.lint.check import Bundle, lint
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.overrides import check_kinds, check_overrides

__all__ = ["Bundle", "Finding", "check_kinds", "check_overrides", "lint", "nearest"]
