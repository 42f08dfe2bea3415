"""Every planted fault fails a step of `verify`; a sound bundle passes them all and is left as it was."""

# ruff: noqa: E501
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medseg.bundle.verify import Step, verify
from medseg.bundle.verify.network import size_of
from medseg.bundle.verify.running import batch_size
from medseg.bundle.weights import write_sums
from tests.bundle import toy

pytestmark = [
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def network(**changes: Any) -> torch.nn.Module:
    from monai.networks.nets import UNet

    arguments = {k: v for k, v in toy.NETWORK.items() if k != "_target_"}
    torch.manual_seed(0)
    return UNet(**(arguments | changes))


def save(bundle: Path, state: Any) -> None:
    torch.save(state, bundle / "models" / "model.pt")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The toy with weights, a page that tells its score, and lists of hashes."""
    root = toy.write(tmp_path / "toy")
    save(root, network().state_dict())
    (root / "docs" / "README.md").write_text("# A toy\n\nMean Dice 0.90 on nothing.\n")
    write_sums(root)
    return root


def test_a_bundle_to_predict_with_alone_is_run_but_not_trained(bundle: Path) -> None:
    for stem in ("train", "evaluate"):
        (bundle / "configs" / f"{stem}.json").unlink()
    write_sums(bundle)
    found = {step.name: step.status for step in verify(bundle)}
    assert (found["prediction"], found["inferring"], found["training"]) == ("passed", "passed", "skipped")
    assert "failed" not in found.values()


def first_failure(bundle: Path) -> Step:
    found = next((step for step in verify(bundle) if step.failed), None)
    assert found is not None, "no step failed"
    return found


def edited(file: str, *path: Any, to: Any = None, drop: bool = False) -> Callable[[Path], None]:
    def plant(bundle: Path) -> None:
        def change(config: Any) -> None:
            for key in path[:-1]:
                config = config[key]
            if drop:
                del config[path[-1]]
            else:
                config[path[-1]] = to

        toy.edit(bundle / "configs" / f"{file}.json", change)

    return plant


def gone(*names: str) -> Callable[[Path], None]:
    return lambda bundle: [(bundle / name).unlink() for name in names] and None


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda bundle: (bundle / name).write_text(content) and None


def weights(make: Callable[[], Any]) -> Callable[[Path], None]:
    return lambda bundle: save(bundle, make())


def _nan() -> dict[str, torch.Tensor]:
    state = network().state_dict()
    next(iter(state.values()))[0] = float("nan")
    return state


OUT = ("network_data_format", "outputs", "pred")
IN = ("network_data_format", "inputs", "image")

# The twenty of ../shared/facts/monai.md 2.3: nine that the model zoo's check catches, eleven that it does not.
OF_THE_ZOO: dict[str, tuple[Callable[[Path], None], str]] = {
    "no LICENSE": (gone("LICENSE"), "LICENSE"),
    "no inference config": (gone("configs/inference.json"), "configs/inference.yaml"),
    "no model.pt": (gone("models/model.pt"), "models/model.pt"),
    "version not in changelog": (edited("metadata", "version", to="0.1.1"), "0.1.1"),
    "old name of required packages": (edited("metadata", "optional_packages_version", to={}), "optional_packages_version"),
    "wrong output channels": (edited("metadata", *OUT, "num_channels", to=3), "num_channels is 3"),
    "network is not the checkpoint's": (weights(lambda: network(channels=[4, 16]).state_dict()), "does not fit network_def"),
    "nested checkpoint": (weights(lambda: {"model": network().state_dict()}), "a plain state dict"),
    "checkpoint with other content": (weights(lambda: {"epoch": 3, "name": "x"}), "a plain state dict"),
    "no README": (gone("docs/README.md"), "docs/README.md"),
    "no train config": (gone("configs/train.json"), "configs/train.yaml"),
    "train config that is no JSON": (text("configs/train.json", "{ not json"), "configs/train.json:1"),
    "wrong output shape": (edited("metadata", *OUT, "spatial_shape", to=[8, 8, 8]), "spatial_shape is [8, 8, 8]"),
    "incomplete channel_def": (edited("metadata", *OUT, "channel_def", "1", drop=True), "channel_def lacks 1"),
    "MONAI of the future": (edited("metadata", "monai_version", to="9.9.9"), "monai_version is 9.9.9"),
    "inference without evaluator": (edited("inference", "evaluator", drop=True), "evaluator"),
    "inference without run": (edited("inference", "run", drop=True), "the id run"),
    "inference without dataset_dir": (edited("inference", "dataset_dir", drop=True), "dataset_dir"),
    "misspelt transform": (edited("inference", "preprocessing", "transforms", 2, "_target_", to="Orientatond"), "nearest: Orientationd"),
    "hostile logging.conf": (text("configs/logging.conf", toy.LOGGING.replace("(sys.stdout,)", "(__import__('os').system('true'),)")), "configs/logging.conf"),
}  # fmt: skip


def _renew_old_name(bundle: Path) -> None:
    toy.edit(bundle / "configs" / "metadata.json", lambda m: m.pop("required_packages_version"))


@pytest.mark.parametrize("name", OF_THE_ZOO)
def test_each_of_the_twenty_planted_faults_fails_a_step_that_names_it(bundle: Path, name: str) -> None:
    plant, told = OF_THE_ZOO[name]
    plant(bundle)
    if name == "old name of required packages":
        _renew_old_name(bundle)
    write_sums(bundle)  # whoever made the fault believes in it
    assert told in first_failure(bundle).detail


def _tampered(bundle: Path) -> None:
    with (bundle / "models" / "model.pt").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")


def _more_weights(bundle: Path) -> None:
    torch.save(network().state_dict(), bundle / "models" / "other.pt")


def _lfs(bundle: Path) -> None:
    (bundle / "models" / "model.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    write_sums(bundle)


def _sealed(plant: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(bundle: Path) -> None:
        plant(bundle)
        write_sums(bundle)

    return both


def _without_inversion(bundle: Path) -> None:
    def change(config: Any) -> None:
        steps = config["postprocessing"]["transforms"]
        steps[:] = [s for s in steps if s["_target_"] != "Invertd"]
        config["preprocessing"]["transforms"].append(
            {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0]}
        )

    def alike(config: Any) -> None:
        both = {"keys": ["image", "label"], "pixdim": [2.0, 2.0, 2.0], "mode": ["bilinear", "nearest"]}
        config["train"]["deterministic_transforms"].append({"_target_": "Spacingd"} | both)

    toy.edit(bundle / "configs" / "inference.json", change)
    toy.edit(bundle / "configs" / "train.json", alike)


OUR_OWN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "weights that hold NaN": (_sealed(weights(_nan)), "weights", "NaN or infinity"),
    "weights changed by a bit": (_tampered, "sha256", "model.pt has sha256"),
    "weights beside the listed ones": (_more_weights, "sha256", "other.pt is not listed"),
    "weights not downloaded": (_lfs, "lint", "Git LFS pointer"),
    "a listed file is gone": (gone("docs/data_license.txt"), "lint", "data_license.txt"),
    "a page changed after the fact": (text("docs/README.md", "# Dice 0.90, honestly\n"), "sha256", "docs/README.md is changed"),
    "a config added": (text("configs/other.json", "{}"), "sha256", "configs/other.json is not listed"),
    "no score": (_sealed(edited("metadata", "eval_metrics", to={})), "scores", "holds no number"),
    "a score that is no number": (_sealed(edited("metadata", "eval_metrics", to={"dice": "good"})), "scores", "holds no number"),
    "an infinite score": (_sealed(edited("metadata", "eval_metrics", to={"dice": "nan"})), "scores", "no finite number"),
    "a page without its score": (_sealed(text("docs/README.md", "# A toy\n")), "scores", "docs/README.md tells none"),
    "another number type": (_sealed(edited("metadata", *OUT, "dtype", to="float16")), "network", "metadata says float16"),
    "a window the network cannot take": (_sealed(edited("metadata", *IN, "spatial_shape", to=[15, 15, 15])), "lint", "spatial_shape"),
    "train and inference differ": (_sealed(edited("train", "network_def", "norm", to="instance")), "lint", "it is 'batch' here and 'instance'"),
    "a pickle beside the weights": (_sealed(text("models/old.pt", "cos\nsystem\n(S'true'\ntR.")), "lint", "models/old.pt"),
    "a large file to fetch from anywhere": (_sealed(text("large_files.yml", "large_files:\n- {path: models/x.pt, url: 'http://x.y/z', hash_val: a}\n")), "lint", "is not https"),
    "a script that is not listed": (_sealed(text("evil.py", "")), "trust", "code in the bundle"),
    "an expression that does more": (_sealed(edited("train", "extra", to="$open('x')")), "lint", "a call of open"),
    "the scan's grid is lost": (_sealed(_without_inversion), "prediction", ""),
    "nothing is written": (_sealed(edited("inference", "postprocessing", "transforms", 3, drop=True)), "inferring", "wrote no label map"),
    "no weight moves": (_sealed(edited("train", "optimizer", "lr", to=0.0)), "training", "no weight moved"),
    "a loss that is no number": (_sealed(edited("train", "loss", "lambda_ce", to=float("inf"))), "training", "the loss of the first step"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUR_OWN)
def test_each_fault_of_our_own_fails_the_step_that_is_for_it(bundle: Path, name: str) -> None:
    plant, step, told = OUR_OWN[name]
    plant(bundle)
    found = first_failure(bundle)
    assert (found.name, told in found.detail) == (step, True), str(found)


def test_a_sound_bundle_passes_every_step_and_is_left_as_it_was(bundle: Path) -> None:
    before = {p: p.read_bytes() for p in sorted(bundle.rglob("*")) if p.is_file()}
    steps = list(verify(bundle))
    assert [str(step) for step in steps if step.status != "passed"] == []
    names = ["lint", "sha256", "scores", "trust", "weights", "network", "torchscript", "onnx"]
    assert [step.name for step in steps] == [*names, "prediction", "inferring", "training"]
    assert {p: p.read_bytes() for p in sorted(bundle.rglob("*")) if p.is_file()} == before


def test_there_are_enough_cases_for_a_batch(bundle: Path) -> None:
    assert batch_size(bundle) == 1
    toy.edit(bundle / "configs" / "train.json", lambda c: c["train"]["dataloader"].update(batch_size="@n"))
    toy.edit(bundle / "configs" / "train.json", lambda c: c.update(n=6))
    assert batch_size(bundle) == 6


def test_a_hostile_bundle_is_not_run(bundle: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    toy.edit(bundle / "configs" / "inference.json", lambda c: c.update(x=f"$open({str(canary)!r}, 'w')"))
    steps = list(verify(bundle))
    assert (steps[-1].name, steps[-1].status, canary.exists()) == ("trust", "failed", False)


@pytest.mark.parametrize(
    ("said", "size"),
    [(96, 96), ("16*n", 32), ("n", 32), ("*", 32), ("2**p", 32), ("2**p*n", 32), ("48*n", 48), ("3**p", 81)],
)
def test_a_size_fits_what_the_metadata_says(said: int | str, size: int) -> None:
    assert size_of(said) == size


def test_the_command_tells_the_hash_of_every_file(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from medseg.cli.app import main

    (bundle / "configs" / "train.json").write_text("{")  # ends early: nothing is run
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(bundle), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (stop.value.code, told["failed"] > 0) == (2, True)
    assert "docs/README.md" in told["sha256"]
