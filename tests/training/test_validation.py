"""The score that chooses the checkpoint is the one that `medseg evaluate` reports."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.metrics import score
from medseg.training.validation import MeanDice


def test_the_validation_score_is_the_penalised_dice_of_an_evaluation() -> None:
    labels = {"organ": (1, 2), "tumour": 2, "rare": 3}
    rng = np.random.default_rng(0)
    cases = [rng.integers(0, 3, (2, 9, 8, 7)).astype(np.uint8) for _ in range(4)]
    cases[0][0][0, 0, 0] = 3
    metric = MeanDice(labels)
    metric.update([{"pred": torch.from_numpy(p)[None], "label": torch.from_numpy(r)[None]} for p, r in cases])
    metric.compute()
    scores = [score(p, r, labels, (1.0, 1.0, 1.0), how="nnunet") for p, r in cases]
    for name in labels:
        penalised = [s[name].penalised["dice"] for s in scores]
        assert metric.per_structure[name] == pytest.approx(np.nanmean(penalised), abs=1e-12)
