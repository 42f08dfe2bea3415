"""MONAI's ignite engines wired once: schedule, averaged weights, guards, checkpoints, progress."""

from medseg.training.averages import AverageWeights, averaged_copy
from medseg.training.checkpoints import Checkpoint, save_weights
from medseg.training.dataset import CachedDataset
from medseg.training.guards import StopWhenNotFinite
from medseg.training.progress import Progress
from medseg.training.schedule import LearningRate
from medseg.training.validation import MeanDice, Validation

__all__ = [
    "AverageWeights",
    "CachedDataset",
    "Checkpoint",
    "LearningRate",
    "MeanDice",
    "Progress",
    "StopWhenNotFinite",
    "Validation",
    "averaged_copy",
    "save_weights",
]
