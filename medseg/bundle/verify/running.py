"""The bundle at work on synthetic cases: a prediction by medseg, one by its own config, one training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from medseg.bundle.lint import Bundle
from medseg.bundle.restricted import Mode
from medseg.bundle.run import initialized, quieten_monai, use_scripts
from medseg.bundle.verbs import config_files, read_config
from medseg.bundle.verify.phantoms import Fit, write_case
from medseg.bundle.verify.step import Step, failed, passed
from medseg.inference.cases import Case

_AWAY_MM = 1e-3


def check_prediction(root: Path, fit: Fit, folder: Path, *, trust: bool) -> Step:
    """A turned, anisotropic case through preprocessing, inference and inversion, written by medseg."""
    from medseg.bundle.predicting import load_predictor

    item = write_case(folder / "in", fit, seed=0, is_turned=True)
    images = _paths(item[fit.image_key])
    predictor = load_predictor(root, device="cpu", trust=trust, output=folder)
    if fit.is_picture:
        labels = predictor.to_labels(images)
        shape = _shape_of(images[0])
        if labels.shape[:2] != shape:
            return failed("prediction", f"a picture of {shape} gave labels of {labels.shape}")
        return _labelled("prediction", labels, fit, f"a picture of {shape}: same size")
    case = Case("phantom", images, folder / "out" / "phantom.nii.gz")
    return _intact("prediction", images[0], predictor.predict(case), fit)


def check_inferring(root: Path, fit: Fit, folder: Path, mode: Mode) -> Step:
    """The same case by the bundle's own evaluator, handlers and writer, as its inference config has them."""
    item = write_case(folder / "in", fit, seed=0, is_turned=True)
    image = item[fit.image_key]
    files = config_files(root, "inferring")
    config = read_config(files)
    places = {"dataset_dir": folder / "in", "output_dir": folder / "own", "bundle_root": root}
    chosen = _chosen(config, places, mode) | {"dataset#data": [{fit.image_key: image, "case": "phantom"}]}
    _run(root, files, chosen, folder, mode, trainer="")
    written = sorted(p for p in (folder / "own").rglob("*") if p.is_file() and _is_image(p))
    if not written:
        return failed("inferring", "the config's own run wrote no label map below output_dir")
    if fit.is_picture or not written[0].name.endswith((".nii", ".nii.gz")):
        return passed("inferring", f"its own run wrote {written[0].name}")
    return _intact("inferring", _paths(image)[0], written[0], fit)


def check_training(root: Path, fit: Fit, folder: Path, mode: Mode) -> Step:
    """One step of the train config on synthetic cases: a finite loss, and weights that moved."""
    # With drop_last, fewer cases than a batch would make no step.
    items = [write_case(folder / "data", fit, seed) for seed in range(1, 1 + max(4, batch_size(root)))]
    files = config_files(root, "training")
    config = read_config(files)
    places = {
        "dataset_dir": folder / "data",
        "output_dir": folder / "train",
        "ckpt_dir": folder / "train" / "models",
        "bundle_root": root,
    }
    chosen = _chosen(config, places, mode)
    chosen |= {"train#trainer#max_epochs": 1, "train#trainer#epoch_length": 1, "train#dataset#data": items}
    chosen |= {"max_epochs": 1} if "max_epochs" in config else {}
    if isinstance(config.get("validate"), dict) and "dataset" in config["validate"]:
        chosen["validate#dataset#data"] = items[:1]
    trainer, before = _run(root, files, chosen, folder, mode, trainer="train::trainer")
    return _judge(trainer, before)


def batch_size(root: Path) -> int:
    """Cases in a batch of training, as far as the config alone tells; at most 64."""
    config = Bundle(root).config("train")
    known = config.known("train::dataloader::batch_size") if config is not None else None
    return min(known, 64) if isinstance(known, int) else 1


def _run(
    root: Path, files: Sequence[Path], chosen: dict[str, Any], folder: Path, mode: Mode, *, trainer: str
) -> tuple[Any, list[torch.Tensor]]:
    """The trainer after the config's run, and its weights as they were before."""
    from monai.bundle import ConfigWorkflow

    quieten_monai()
    if mode.full:
        use_scripts(root)
    with mode.kept_in(folder):
        workflow = ConfigWorkflow(config_file=[str(f) for f in files], logging_file=False, **chosen)
        with initialized(workflow):
            engine = workflow.parser.get_parsed_content(trainer) if trainer else None
            before = [p.detach().clone() for p in engine.network.parameters()] if engine else []
            workflow.run()
    return engine, before


def _chosen(config: dict[str, Any], places: dict[str, Path], mode: Mode) -> dict[str, Any]:
    chosen: dict[str, Any] = {key: str(place) for key, place in places.items() if key in config}
    chosen |= {"device": "$torch.device('cpu')"} if "device" in config else {}
    return mode.overrides(config, places["output_dir"]) | chosen


def _judge(trainer: Any, before: list[torch.Tensor]) -> Step:
    if trainer.state.iteration < 1:
        return failed("training", "no step was made")
    output = trainer.state.output
    output = output[0] if isinstance(output, list) else output
    loss = float(output["loss"]) if isinstance(output, dict) and "loss" in output else math.nan
    after = list(trainer.network.parameters())
    moved = sum(not torch.equal(a, b.detach()) for a, b in zip(before, after, strict=True))
    if not math.isfinite(loss):
        return failed("training", f"the loss of the first step is {loss}")
    if not moved:
        return failed("training", "no weight moved in the first step")
    return passed("training", f"one step: loss {loss:.4f}, {moved} of {len(before)} tensors moved")


def _intact(name: str, scan: Path, written: Path, fit: Fit) -> Step:
    source, result = nib.load(scan), nib.load(written)
    if result.shape[:3] != source.shape[:3]:
        return failed(name, f"a scan of {source.shape} gave a label map of {result.shape}")
    away = float(np.abs(result.affine - source.affine).max())
    if not away <= _AWAY_MM:
        return failed(name, f"the label map's affine is {away:.3g} mm away from the scan's")
    return _labelled(name, np.asarray(result.dataobj), fit, f"{source.shape} turned by 8 degrees: same grid")


def _labelled(name: str, labels: np.ndarray, fit: Fit, told: str) -> Step:
    found = sorted(map(float, np.unique(labels)))
    known = {*fit.values, *range(len(fit.values) + 1), *((255,) if fit.is_picture else ())}
    strange = sorted(set(found) - set(map(float, known)))
    if strange:
        return failed(name, f"the label map holds {strange[:5]}, the bundle knows {list(fit.values)}")
    return passed(name, f"{told}, labels {[int(n) for n in found]}")


def _paths(image: str | list[str]) -> tuple[Path, ...]:
    return tuple(map(Path, image if isinstance(image, list) else [image]))


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".jpg", ".dcm", ".tif"))


def _shape_of(picture: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(picture) as opened:
        return opened.size
