"""Runtimes give torch's scores; the fastest is measured once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medseg.inference import runtimes
from medseg.inference.runtimes import fastest, scored_by
from medseg.inference.torch_runtime import RuntimeUnavailableError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _remembered_here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.InstanceNorm3d(4)).eval()


WINDOW = torch.randn((1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0))


def test_exporting_does_not_name_packages_that_no_network_needs(
    network: torch.nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert runtimes.export_onnx(network, WINDOW, tmp_path / "a.onnx").stat().st_size > 0
    assert [r.getMessage() for r in caplog.records if "torchvision" in r.getMessage()] == []


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_scores_of_a_batch_are_torchs(runtime: str, network: torch.nn.Module) -> None:
    scores = scored_by(runtime, network, WINDOW)
    batch = torch.cat([WINDOW, -WINDOW, WINDOW * 2])
    with torch.no_grad():
        torch.testing.assert_close(scores(batch), network(batch), rtol=1e-3, atol=1e-4)


def test_the_fastest_is_measured_once_and_remembered(
    network: torch.nn.Module, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = fastest(network, WINDOW)
    (known,) = json.loads((cache / "medseg" / "runtimes.json").read_text()).values()
    assert set(known["seconds"]) == {"torch", "onnx", "openvino"}
    assert known["runtime"] == name == min(known["seconds"], key=known["seconds"].get)

    def measure_again(*_: object) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(runtimes, "_seconds", measure_again)
    assert fastest(network, WINDOW)[0] == name


def test_a_runtime_that_gives_other_scores_is_refused(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "onnx_network", lambda _: lambda windows: network(windows) * 1.01)
    with torch.no_grad(), pytest.raises(RuntimeUnavailableError, match="differs from torch"):
        scored_by("onnx", network, WINDOW)


def test_a_runtime_that_is_missing_is_told_with_its_extra(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "is_installed", lambda _: False)
    with pytest.raises(RuntimeUnavailableError, match=r"medseg\[openvino\]"):
        scored_by("openvino", network, WINDOW)


def test_compiling_is_measured_where_it_may_pay(
    network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, where `auto` measures both; the CPU stands in for it here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtimes, "RUNTIMES", {"cpu": runtimes.RUNTIMES["cuda"]})
    name, scores = fastest(network, WINDOW)
    (known,) = json.loads((tmp_path / "medseg" / "runtimes.json").read_text()).values()
    assert set(known["seconds"]) == {"torch", "compile"}
    assert known["runtime"] == name
    with torch.no_grad():
        torch.testing.assert_close(scores(WINDOW), network(WINDOW), rtol=1e-3, atol=1e-4)


def test_without_a_compiler_torch_compile_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: object, **__: object) -> object:
        raise torch._dynamo.exc.BackendCompilerFailed(
            lambda: None, RuntimeError("no C++ compiler\nand many lines"), None
        )

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_compiler)
    network = torch.nn.Conv3d(1, 2, 1).eval()
    with pytest.raises(RuntimeUnavailableError, match=r"torch\.compile failed") as told:
        scored_by("compile", network, WINDOW)
    assert "\n" not in str(told.value)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: lambda _: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="size of tensor"):
        scored_by("compile", network, WINDOW)
