"""A tiny training: noisy balls of 8 voxels, a network of a few hundred weights, steps of milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from monai.transforms import AsDiscreted, Compose, EnsureTyped, RandFlipd, RandGaussianNoised
from torch import nn

from medseg import training as t

LABELS = {"background": 0, "ball": 1}


def cases(n: int = 6, size: int = 8) -> list[dict[str, Any]]:
    """Synthetic cases: a ball somewhere in noise."""
    chance = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"))
    rows = []
    for number in range(n):
        centre = chance.uniform(2.5, size - 3.5, 3)[:, None, None, None]
        label = (((grid - centre) ** 2).sum(0) < 5).astype(np.uint8)
        image = label + chance.normal(0, 0.5, label.shape)
        rows.append({"case": f"ball{number}", "image": image[None].astype(np.float32), "label": label[None]})
    return rows


def network() -> nn.Module:
    """A few hundred weights, with dropout, so that the global generator is drawn from."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.InstanceNorm3d(4, affine=True),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv3d(4, 2, 3, padding=1),
    )


def trainer(folder: Path, **options: Any) -> SupervisedTrainer:
    """The trainer that a bundle's YAML wires, over toy cases.

    Options: epochs, batch_size, data, resume, every_s, budget, patience, clip, accumulate, interval,
    trackers, net, loss, console, rate (arguments of LearningRate), extra (more handlers), seed.
    """
    seed = options.get("seed", 0)
    t.start(seed)
    net = options.get("net") or network()
    averaged = t.averaged_copy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    rows = options.get("data") or cases()
    typed = Compose([EnsureTyped(keys=["image", "label"], dtype=[torch.float32, torch.uint8])])
    flip, noise = RandFlipd(keys=["image", "label"], prob=0.5), RandGaussianNoised(keys="image", prob=0.5)
    chance = Compose([flip, noise])
    train_set = t.CachedDataset(rows, typed, chance, labels=LABELS)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(t.CachedDataset(rows[:2], typed), batch_size=1),
        network=averaged,
        inferer=SimpleInferer(),
        postprocessing=AsDiscreted(keys="pred", argmax=True),
        key_val_metric={"Mean_Dice": t.MeanDice(LABELS)},
    )
    out, rate = str(folder), options.get("rate", {})
    handlers = [
        t.Budget(options.get("budget"), aside_s=0.05),
        t.Randomness(seed),
        t.LearningRate(optimizer, peak=0.01, warmup=0.1, evaluator=evaluator, **rate),
        t.ClipGradients(options.get("clip", 1.0)),
        t.StopWhenNotFinite(),
        t.AverageWeights(net, averaged, decay=0.9),
        t.Validation(evaluator, interval=options.get("interval", 2)),
        t.EarlyStopping(evaluator, patience=options.get("patience")),
        t.History(evaluator, out),
        t.Trackers(options.get("trackers", []), out),
        t.Progress(evaluator, every=options.get("told_every", 1e9), console=options.get("console")),
        *options.get("extra", []),
        t.Checkpoint(
            averaged, evaluator, out, resume=options.get("resume", False), every_s=options.get("every_s", 1e9)
        ),
    ]
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=options.get("epochs", 4),
        train_data_loader=DataLoader(
            train_set,
            batch_size=options.get("batch_size", 2),
            sampler=t.Visits(train_set, seed),
            drop_last=True,
        ),
        network=t.replicated(net),
        optimizer=optimizer,
        loss_function=options.get("loss") or DiceCELoss(to_onehot_y=True, softmax=True),
        train_handlers=handlers,
        accumulation_steps=options.get("accumulate", 1),
    )


def trainer_stub(net: nn.Module) -> SupervisedTrainer:
    """A trainer of one step per epoch, for handlers that are called by hand."""
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[0],
        network=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=1.0),
        loss_function=DiceCELoss(),
    )
