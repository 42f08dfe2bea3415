"""Losses for labels and for overlapping regions, by name."""

from medseg.losses.loss import Loss
from medseg.losses.registry import NAMES, build
from medseg.losses.weights import class_weights, count_voxels, weights_from_data

__all__ = ["NAMES", "Loss", "build", "class_weights", "count_voxels", "weights_from_data"]
