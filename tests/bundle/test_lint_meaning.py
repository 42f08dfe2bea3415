"""Faults that MONAI runs without a word: each is found by lint; their harmless neighbours are not."""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medseg.bundle.lint import lint
from tests.bundle import toy
from tests.bundle.test_lint import _set

Change = Callable[[Any], Any]
OTHER = {"net2": dict(toy.NETWORK)}
SPACING = {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": [2, 2, 2]}
STEPS = "postprocessing/transforms"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return toy.write(tmp_path / "toy")


def _drop(path: str) -> Change:
    def change(config: Any) -> None:
        *parents, last = path.split("/")
        for key in parents:
            config = config[int(key) if isinstance(config, list) else key]
        del config[int(last) if isinstance(config, list) else last]

    return change


def _insert(path: str, at: int, value: Any) -> Change:
    def change(config: Any) -> None:
        for key in path.split("/"):
            config = config[int(key) if isinstance(config, list) else key]
        config.insert(at, value)

    return change


def _all(*changes: Change) -> Change:
    def change(config: Any) -> None:
        for one in changes:
            one(config)

    return change


def _with(new: dict[str, Any], path: str, value: Any) -> Change:
    return _all(lambda config: config.update(new), _set(path, value))


def _first(source: int) -> Change:
    """The step at `source` of postprocessing comes first."""
    return lambda config: config["postprocessing"]["transforms"].insert(
        0, config["postprocessing"]["transforms"].pop(source)
    )


def _decide_first(config: Any) -> None:
    """As the zoo's prostate_mri_anatomy: argmax, and then an inversion that interpolates."""
    steps = config["postprocessing"]["transforms"]
    steps.insert(1, steps.pop(2))


def _activation(kind: str) -> dict[str, Any]:
    return {"_target_": "Activationsd", "keys": "pred", kind: True}


SCORES = {
    "argmax of a sigmoid": ("inference", _set(f"{STEPS}/0", _activation("sigmoid")), "scores"),
    "threshold on softmax": ("inference", _set(f"{STEPS}/2", {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}), "scores"),
    "softmax twice": ("inference", _insert(STEPS, 0, _activation("softmax")), "scores"),
    "softmax after argmax": ("inference", _first(2), "scores"),
    "labels interpolated": ("inference", _decide_first, "scores"),
    "written before it is decided": ("inference", _first(3), "scores"),
    "inverts another chain": ("inference", _with({"other": {"_target_": "Compose", "transforms": [toy.READ[0]]}}, f"{STEPS}/1/transform", "@other"), "scores"),
    "inverts by a key that is not loaded": ("inference", _set(f"{STEPS}/1/orig_keys", "pred"), "scores"),
    "one-hot of other channels": ("train", _set("train/postprocessing/transforms/1/to_onehot", 5), "scores"),
    "loss of raw scores": ("train", _drop("loss/softmax"), "scores"),
    "loss of another activation": ("train", _all(_drop("loss/softmax"), _set("loss/sigmoid", True)), "train-differs"),
}  # fmt: skip
INPUT = {
    "another intensity range": ("inference", _set("preprocessing/transforms", [*toy.READ[:3], toy.READ[3] | {"a_max": 100}]), "train-differs"),
    "another orientation": ("inference", _set("preprocessing/transforms", [*toy.READ[:2], toy.READ[2] | {"axcodes": "LPS"}, toy.READ[3]]), "train-differs"),
    "no scaling in use": ("inference", _set("preprocessing/transforms", toy.READ[:3]), "train-differs"),
    "resampled in use alone": ("inference", _insert("preprocessing/transforms", 3, SPACING | {"keys": "image"}), "train-differs"),
    "labels interpolated": ("train", _insert("train/deterministic_transforms", 3, SPACING | {"mode": "bilinear"}), "labels"),
    "labels interpolated by default": ("train", _insert("train/deterministic_transforms", 3, SPACING), "labels"),
    "labels normalised": ("train", _insert("train/deterministic_transforms", 3, {"_target_": "NormalizeIntensityd", "keys": ["image", "label"]}), "labels"),
    "misspelt key": ("inference", _set("preprocessing/transforms/3/keys", "imge"), "unknown-key"),
    "misspelt label key": ("train", _set("train/random_transforms/0/label_key", "lable"), "unknown-key"),
}  # fmt: skip
WIRING = {
    "weights are never loaded": ("inference", _all(_drop("checkpointloader"), _drop("initialize/1")), "wiring"),
    "the loader is never called": ("inference", _drop("initialize/1"), "wiring"),
    "weights go into another network": ("inference", _with(OTHER, "checkpointloader/load_dict/model", "@net2"), "wiring"),
    "weights that are not there": ("inference", _set("checkpointloader/load_path", "$@bundle_root + '/models/modle.pt'"), "missing-file"),
    "the evaluation loads nothing": ("evaluate", _drop("validate#handlers/0"), "wiring"),
    "postprocessing that no engine takes": ("inference", _drop("evaluator/postprocessing"), "wiring"),
    "handlers that no engine takes": ("train", _drop("train/trainer/train_handlers"), "wiring"),
    "validation that never happens": ("train", _drop("train/handlers/0"), "wiring"),
    "an optimizer of another network": ("train", _with(OTHER, "optimizer/params", "$@net2.parameters()"), "wiring"),
    "another network is trained": ("train", _with(OTHER, "train/trainer/network", "@net2"), "wiring"),
    "another network is validated": ("train", _with(OTHER, "validate/evaluator/network", "@net2"), "wiring"),
    "another network is saved": ("train", _with(OTHER, "validate/handlers/0/save_dict/model", "@net2"), "wiring"),
    "validation on the training cases": ("train", _set("validate/evaluator/val_data_loader", "@train#dataloader"), "wiring"),
    "chance in use": ("inference", _insert("preprocessing/transforms", 4, {"_target_": "RandFlipd", "keys": "image", "prob": 0.5}), "wiring"),
    "a run that runs nothing": ("inference", _set("run", []), "wiring"),
    "a run of another engine": ("train", _set("run", ["$@validate#evaluator.run()"]), "wiring"),
}  # fmt: skip
VALUES = {
    "window of too few axes": ("inference", _set("inferer/roi_size", [16, 16]), "window"),
    "window that does not divide": ("inference", _set("inferer/roi_size", [15, 15, 15]), "window"),
    "overlap of all": ("inference", _set("inferer/overlap", 1.0), "value"),
    "overlap below nothing": ("inference", _set("inferer/overlap", -0.5), "value"),
    "no windows at a time": ("inference", _set("inferer/sw_batch_size", 0), "value"),
    "no epochs": ("train", _set("train/trainer/max_epochs", 0), "value"),
    "no interval": ("train", _set("val_interval", 0), "value"),
    "no cases in a batch": ("train", _set("train/dataloader/batch_size", 0), "value"),
    "learning backwards": ("train", _set("optimizer/lr", -1), "value"),
    "learning rate as text": ("train", _set("optimizer/lr", "1e-4"), "value"),
    "chance of five": ("train", _insert("train/random_transforms", 0, {"_target_": "RandFlipd", "keys": ["image", "label"], "prob": 5}), "value"),
    "true as text": ("train", _set("loss/softmax", "true"), "argument-type"),
    "false as text": ("train", _set("loss/include_background", "False"), "argument-type"),
    "none as text": ("train", _set("optimizer/lr", "None"), "argument-type"),
    "channels as text": ("inference", _set("network_def/in_channels", "1"), "argument-type"),
    "a fraction of a channel": ("inference", _set("network_def/in_channels", 1.5), "argument-type"),
}  # fmt: skip
FAULTS = SCORES | INPUT | WIRING | VALUES


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_meaning_is_an_error_in_its_file(bundle: Path, name: str) -> None:
    file, change, code = FAULTS[name]
    toy.edit(bundle / "configs" / f"{file}.json", change)
    found = {f.code for f in lint(bundle) if f.is_error}
    assert code in found, found


def test_a_softmax_of_one_channel_is_an_error(bundle: Path) -> None:
    for stem in ("inference", "train"):
        toy.edit(bundle / "configs" / f"{stem}.json", _set("network_def/out_channels", 1))
    assert any("single channel" in f.message for f in lint(bundle))


OUT, IN = ("network_data_format/outputs/pred", "network_data_format/inputs/image")
METADATA = {
    "a number type that is none": (_set(f"{IN}/dtype", "floaty"), True),
    "whole numbers into a network": (_set(f"{IN}/dtype", "int64"), True),
    "a range upside down": (_set(f"{IN}/value_range", [1, 0]), True),
    "a range of three": (_set(f"{IN}/value_range", [0, 1, 2]), False),
    "two channels of one name": (_set(f"{OUT}/channel_def", {"0": "blob", "1": "blob"}), True),
    "a first channel that is not 0": (_set(f"{IN}/channel_def", {"1": "image"}), True),
    "channels named by numbers": (_set(f"{OUT}/channel_def", {"0": 0, "1": 1}), True),
    "background that is not first": (_set(f"{OUT}/channel_def", {"0": "blob", "1": "background"}), True),
    "channels of no name": (_drop(f"{OUT}/channel_def"), False),
    "more channels than memory": (_set(f"{IN}/num_channels", 10**30), True),
    "a schema from anywhere": (_set("schema", "http://example.org/schema.json"), True),
    "a score below nothing": (_set("eval_metrics/mean_dice", -0.5), True),
    "a score above one": (_set("eval_metrics/mean_dice", 93.1), False),
    "a misspelt format": (_set(f"{IN}/format", "hounsfeld"), False),
    "a misspelt type": (_set(f"{IN}/type", "imag"), False),
    "nobody's work": (_set("authors", " "), True),
    "no task": (_set("task", ""), True),
}  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_metadata_that_no_bundle_could_have_is_found(bundle: Path, name: str) -> None:
    change, is_error = METADATA[name]
    toy.edit(bundle / "configs" / "metadata.json", change)
    found = [f for f in lint(bundle) if f.file == "configs/metadata.json"]
    assert found, "nothing was found"
    assert any(f.is_error for f in found) == is_error


def _sigmoid_everywhere(bundle: Path) -> None:
    """Overlapping regions, as the model zoo's brats_mri_segmentation has them."""
    steps = [_activation("sigmoid"), {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}]
    post = {"_target_": "Compose", "transforms": steps}
    loss = _all(_drop("loss/softmax"), _set("loss/sigmoid", True), _set("loss/to_onehot_y", False))
    toy.edit(bundle / "configs" / "train.json", _all(loss, _set("train/postprocessing", post)))
    change = _all(_set(f"{STEPS}/0", steps[0]), _set(f"{STEPS}/2", steps[1]))
    toy.edit(bundle / "configs" / "inference.json", change)


def _handlers_load(bundle: Path) -> None:
    def change(config: Any) -> None:
        config["handlers"].insert(0, config.pop("checkpointloader"))
        config["initialize"].pop()

    toy.edit(bundle / "configs" / "inference.json", change)


def _decided_before_inverted(bundle: Path) -> None:
    def change(config: Any) -> None:
        steps = config["postprocessing"]["transforms"]
        steps.insert(1, steps.pop(2))
        steps[2]["nearest_interp"] = True

    toy.edit(bundle / "configs" / "inference.json", change)


def _resampled_in_both(bundle: Path) -> None:
    both = SPACING | {"mode": ["bilinear", "nearest"], "allow_missing_keys": True}
    toy.edit(bundle / "configs" / "train.json", _insert("train/deterministic_transforms", 3, both))
    change = _insert("preprocessing/transforms", 3, SPACING | {"keys": "image", "pixdim": "@pixdim"})
    choice = "$[2.0, 2.0, 2.0] if @coarse else [1.0, 1.0, 1.0]"
    toy.edit(
        bundle / "configs" / "inference.json", _all(change, lambda c: c.update(coarse=True, pixdim=choice))
    )


def _numbered_keys(bundle: Path) -> None:
    split = {"_target_": "CopyItemsd", "keys": "pred", "times": 1, "names": "pred_tc"}
    later = {"_target_": "AsDiscreted", "keys": "pred_tc", "threshold": 0.5}
    toy.edit(bundle / "configs" / "inference.json", _all(_insert(STEPS, 1, split), _insert(STEPS, 2, later)))


@pytest.mark.parametrize(
    "change",
    [_sigmoid_everywhere, _handlers_load, _decided_before_inverted, _resampled_in_both, _numbered_keys],
    ids=lambda change: change.__name__.strip("_"),
)
def test_what_bundles_of_the_model_zoo_do_on_purpose_is_no_finding(bundle: Path, change: Any) -> None:
    change(bundle)
    assert [str(f) for f in lint(bundle)] == []


def test_a_bundle_from_before_run_is_warned_about_only(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "train.json", lambda c: c.update(training=c.pop("run")))
    found = [f for f in lint(bundle) if f.code == "missing-id"]
    assert [(f.id, f.severity) for f in found] == [("run", "warning")]


@pytest.mark.parametrize("text", ["a: 2001-99-99", "2001-99-99: a", "a: !!int x", "a: !!bool x"])
def test_a_yaml_value_that_is_none_of_its_kind_is_an_error_with_its_line(bundle: Path, text: str) -> None:
    (bundle / "configs" / "train.json").unlink()
    (bundle / "configs" / "train.yaml").write_text(f"x: 1\n{text}\n")
    assert [f.line for f in lint(bundle) if f.code == "unreadable"] == [2]


def test_json_with_a_byte_order_mark_is_an_error_as_it_is_for_monai(bundle: Path) -> None:
    path = bundle / "configs" / "train.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert any("byte order mark" in f.message for f in lint(bundle))


@pytest.mark.parametrize("key", ["#", "a##b", "validate#handlers##0", "#".join(["a"] * 20_000)])
def test_an_id_that_names_no_place_is_an_error_and_no_crash(bundle: Path, key: str) -> None:
    toy.edit(bundle / "configs" / "train.json", lambda config: config.update({key: 1}))
    assert "unknown-id" in {f.code for f in lint(bundle)}
