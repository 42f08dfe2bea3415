"""The bundle at work on synthetic cases: one prediction, one step of training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from medseg.bundle.restricted import Mode
from medseg.bundle.run import cause_of, quieten_monai
from medseg.bundle.verbs import config_files, read_config
from medseg.bundle.verify.phantoms import Fit, write_case
from medseg.bundle.verify.step import Step, failed, passed, skipped
from medseg.inference.cases import Case


def check_prediction(root: Path, fit: Fit, folder: Path, *, trust: bool) -> Step:
    """A turned, anisotropic case through preprocessing, inference, inversion and writing: geometry intact."""
    from medseg.bundle.predicting import load_predictor

    if len(fit.shape) != 3:
        return skipped("prediction", "pictures have no geometry to keep")
    item = write_case(folder / "in", fit, seed=0, oblique=True)
    images = item[fit.image_key] if isinstance(item[fit.image_key], list) else [item[fit.image_key]]
    case = Case("phantom", tuple(map(Path, images)), folder / "out" / "phantom.nii.gz")
    predictor = load_predictor(root, device="cpu", trust=trust)
    written = nib.load(predictor.predict(case))
    source = nib.load(images[0])
    if written.shape[:3] != source.shape[:3]:
        return failed("prediction", f"a scan of {source.shape} gave a label map of {written.shape}")
    away = float(np.abs(written.affine - source.affine).max())
    if away > 1e-3:
        return failed("prediction", f"the label map's affine is {away:.3g} mm away from the scan's")
    found = sorted(map(int, np.unique(np.asarray(written.dataobj))))
    strange = sorted(set(found) - set(fit.values) - set(range(len(fit.values) + 1)))
    if strange:
        return failed("prediction", f"the label map holds {strange}, the bundle knows {list(fit.values)}")
    return passed("prediction", f"{source.shape} turned by 8 degrees: same grid, labels {found}")


def check_training(root: Path, fit: Fit, folder: Path, mode: Mode) -> Step:
    """One step of the train config on synthetic cases: a finite loss, and weights that moved."""
    from monai.bundle import ConfigWorkflow

    quieten_monai()
    if len(fit.shape) != 3:
        return skipped("training", "pictures are not tried")
    items = [write_case(folder / "data", fit, seed) for seed in range(1, 5)]
    files = config_files(root, "training")
    workflow = ConfigWorkflow(
        config_file=[str(f) for f in files],
        logging_file=False,
        **_overrides(read_config(files), root, items, folder, mode),
    )
    try:
        with mode.kept_in(folder):
            workflow.initialize()
            trainer = workflow.parser.get_parsed_content("train::trainer")
            before = [p.detach().clone() for p in trainer.network.parameters()]
            workflow.run()
    except Exception as error:
        raise cause_of(error) from error
    finally:
        workflow.finalize()
    return _judge(trainer, before)


def _overrides(
    config: dict[str, Any], root: Path, items: list[dict[str, Any]], folder: Path, mode: Mode
) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "bundle_root": str(root.resolve()),
        "dataset_dir": str(folder / "data"),
        "output_dir": str(folder / "train"),
        "ckpt_dir": str(folder / "train" / "models"),
        "device": "$torch.device('cpu')",
    }
    chosen = {key: value for key, value in chosen.items() if key in config} | mode.overrides(config, folder)
    chosen |= {"train#trainer#max_epochs": 1, "train#trainer#epoch_length": 1, "train#dataset#data": items}
    if isinstance(config.get("validate"), dict) and "dataset" in config["validate"]:
        chosen["validate#dataset#data"] = items[:1]
    return chosen


def _judge(trainer: Any, before: list[torch.Tensor]) -> Step:
    if trainer.state.iteration < 1:
        return failed("training", "no step was made")
    output = trainer.state.output
    output = output[0] if isinstance(output, list) else output
    loss = float(output["loss"]) if isinstance(output, dict) and "loss" in output else math.nan
    moved = sum(
        not torch.equal(a, b.detach()) for a, b in zip(before, trainer.network.parameters(), strict=True)
    )
    if not math.isfinite(loss):
        return failed("training", f"the loss of the first step is {loss}")
    if not moved:
        return failed("training", "no weight moved in the first step")
    return passed("training", f"one step: loss {loss:.4f}, {moved} of {len(before)} tensors moved")
