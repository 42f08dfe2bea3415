"""MONAI's ignite engines wired once: budget, schedule, averages, guards, checkpoints, history."""

from medseg.training.averages import AverageWeights, averaged_copy
from medseg.training.budget import Budget
from medseg.training.checkpoints import Checkpoint, save_weights
from medseg.training.dataset import CachedDataset
from medseg.training.gradients import ClipGradients
from medseg.training.guards import StopWhenNotFinite
from medseg.training.history import History
from medseg.training.precision import MixedPrecisionInferer, mixed_precision
from medseg.training.processes import finish, replicated, start
from medseg.training.progress import Progress
from medseg.training.randomness import Randomness
from medseg.training.sampling import Spread, Visits
from medseg.training.schedule import LearningRate
from medseg.training.stopping import EarlyStopping
from medseg.training.trackers import Trackers
from medseg.training.validation import MeanDice, Validation

__all__ = [
    "AverageWeights",
    "Budget",
    "CachedDataset",
    "Checkpoint",
    "ClipGradients",
    "EarlyStopping",
    "History",
    "LearningRate",
    "MeanDice",
    "MixedPrecisionInferer",
    "Progress",
    "Randomness",
    "Spread",
    "StopWhenNotFinite",
    "Trackers",
    "Validation",
    "Visits",
    "averaged_copy",
    "finish",
    "mixed_precision",
    "replicated",
    "save_weights",
    "start",
]
