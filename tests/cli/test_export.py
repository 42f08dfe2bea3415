from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medseg.cli.app import main
from tests.toy_bundle import config, write_bundle, write_scan


def call(*arguments: object) -> int:
    """The exit code of `medseg`."""
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("onnx", "model.onnx"),
        ("openvino", "model.xml"),
        ("torchscript", "model.ts"),
        ("torch-export", "model.pt2"),
    ],
)
def test_an_export_gives_the_labels_of_the_bundle(
    tmp_path: Path, to: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, scan = write_bundle(tmp_path / "toy"), write_scan(tmp_path / "scan.nii.gz")
    assert call("export", bundle, "--to", to, "-o", tmp_path / "out", "--trust") == 0
    assert call("verify-export", bundle, tmp_path / "out" / name, "-i", scan, "--trust") == 0
    assert "equal scan.nii.gz: 0.0e+00 of 15600 labels differ, 3 labels" in capsys.readouterr().out


def test_what_surrounds_the_network_is_described_beside_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "toy")
    assert call("export", bundle, "--to", "onnx", "-o", tmp_path / "out", "--trust") == 0
    said = json.loads((tmp_path / "out" / "export.json").read_text())
    assert said["input"]["shape"] == [1, 1, 16, 16, 16]
    assert said["windows"]["overlap"] == 0.5
    assert said["decision"]["activation"] == "softmax"
    assert said["preprocessing"] == config()["preprocessing"]


def test_another_networks_export_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, other = write_bundle(tmp_path / "toy"), write_bundle(tmp_path / "other", seed=3)
    assert call("export", other, "--to", "torchscript", "-o", tmp_path / "out", "--trust") == 0
    assert call("verify-export", bundle, tmp_path / "out" / "model.ts", "--trust") == 3
    assert "DIFFERENT phantom" in capsys.readouterr().out


def test_an_export_that_exists_is_kept(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "toy")
    (tmp_path / "out").mkdir()
    torch.save({}, tmp_path / "out" / "model.ts")
    before = (tmp_path / "out" / "model.ts").read_bytes()
    assert call("export", bundle, "--to", "torchscript", "-o", tmp_path / "out", "--trust") == 2
    assert (tmp_path / "out" / "model.ts").read_bytes() == before
