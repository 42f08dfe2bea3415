"""The score that chooses the checkpoint is the one that `medseg evaluate` reports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer

from medseg.metrics import score
from medseg.training import CachedDataset
from medseg.training.validation import MeanDice, Validation
from tests.training import toy


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


def test_the_time_of_a_validation_counts_its_post_processing_and_ends_no_validation(tmp_path) -> None:
    seen, ended = [], []

    def watched(item):
        seen.append(tuple(item["pred"].shape))
        return item

    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(CachedDataset(toy.cases(2), lambda row: row), batch_size=1),
        network=toy.network(),
        inferer=SimpleInferer(),
        postprocessing=watched,
        key_val_metric={"Mean_Dice": MeanDice(toy.LABELS)},
    )
    evaluator.add_event_handler(Events.COMPLETED, ended.append)
    assert Validation(evaluator, interval=1)._time_one_case() > 0
    assert seen == [(2, 8, 8, 8)]
    assert ended == []
