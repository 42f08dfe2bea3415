"""A bundle put to the test: lint, hashes, network, one prediction, one step of training."""

from medseg.bundle.verify.step import Step
from medseg.bundle.verify.verifying import verify

__all__ = ["Step", "verify"]
