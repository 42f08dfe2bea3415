"""Each preset gives its tool's number; the golden ones were recorded from the tools themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import MedsegError
from medseg.metrics import PRESETS, score
from tests.metrics.masks import blobs, cube, pair

GOLDEN = json.loads(Path(__file__).with_name("golden_deepmind.json").read_text())
PEERS = json.loads(Path(__file__).with_name("golden_peers.json").read_text())
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: str(c["shape"]))
def test_deepmind_gives_the_recorded_numbers(case: dict) -> None:
    prediction, reference = (blobs(tuple(case["shape"]), s) for s in case["seeds"])
    found = score(prediction, reference, {"it": 1}, tuple(case["spacing"]), how="deepmind")["it"].metrics
    assert {name: found[name] for name in case["expected"]} == pytest.approx(case["expected"], abs=1e-9)


@pytest.mark.parametrize("case", PEERS, ids=lambda c: f"{c['preset']}-{c['masks']}-{c['seed']}")
def test_a_preset_gives_the_numbers_that_record_peers_wrote_down(case: dict) -> None:
    masks = pair(case["masks"], case["seed"])
    found = score(*masks, {"it": 1}, tuple(case["spacing"]), how=case["preset"])["it"].metrics
    # Where the tool raises, its preset is undefined.
    expected = {name: float(v if v != "IndexError" else "nan") for name, v in case["expected"].items()}
    within = {name: 1e-6 if _in_float32(case["preset"], name) else 1e-11 for name in expected}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=within[name], nan_ok=True), name


def _in_float32(preset: str, name: str) -> bool:
    return preset == "metrics_reloaded" and name in ("precision", "recall")


BOX = cube((12, 10, 9), (2, 2, 2), (7, 7, 7))
EMPTY = np.zeros_like(BOX)


@pytest.mark.parametrize(
    ("preset", "both", "missed", "alarm"),
    [
        ("medseg", (NAN, NAN, NAN), (0, INF, INF), (0, INF, INF)),
        ("monai", (NAN, NAN, NAN), (0, INF, NAN), (NAN, INF, NAN)),
        ("metrics_reloaded", (1, 0, 0), (0, NAN, NAN), (0, NAN, NAN)),
        ("deepmind", (NAN, INF, INF), (0, INF, INF), (0, INF, INF)),
        ("medpy", (1, NAN, NAN), (0, NAN, NAN), (0, NAN, NAN)),
        ("panoptica", (NAN, NAN, NAN), (0, NAN, NAN), (0, NAN, NAN)),
    ],
)
def test_empty_masks_score_as_the_tool_scores_them(
    preset: str, both: tuple[float, ...], missed: tuple[float, ...], alarm: tuple[float, ...]
) -> None:
    for prediction, reference, expected in ((EMPTY, EMPTY, both), (EMPTY, BOX, missed), (BOX, EMPTY, alarm)):
        found = score(prediction, reference, {"it": 1}, (1.0, 1.0, 1.0), how=preset)["it"].metrics
        got = tuple(found[n] for n in ("dice", "hausdorff_mm", "hd95_mm"))
        assert got == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("preset", "status", "assd", "there", "back"),
    [
        ("deepmind", "missed", NAN, INF, NAN),
        ("deepmind", "false_alarm", NAN, NAN, INF),
        ("panoptica", "missed", INF, None, None),
        ("panoptica", "false_alarm", INF, None, None),
        ("monai", "missed", INF, INF, INF),
    ],
)
def test_average_distances_to_an_empty_mask_are_the_tool_s(
    preset: str, status: str, assd: float, there: float | None, back: float | None
) -> None:
    pair = (EMPTY, BOX) if status == "missed" else (BOX, EMPTY)
    found = score(*pair, {"it": 1}, (1.0, 1.0, 1.0), how=preset)["it"].metrics
    got = [
        found["assd_mm"],
        found.get("asd_reference_to_prediction_mm"),
        found.get("asd_prediction_to_reference_mm"),
    ]
    assert got == pytest.approx([assd, there, back], nan_ok=True)


def test_medpy_takes_the_percentile_of_the_union() -> None:
    prediction, reference = blobs((16, 15, 14), 1), blobs((16, 15, 14), 2)
    found = score(prediction, reference, {"it": 1}, (1.0, 1.0, 2.0), how="medpy")["it"].metrics
    usual = score(prediction, reference, {"it": 1}, (1.0, 1.0, 2.0))["it"].metrics
    assert found["hd95_mm"] < usual["hd95_mm"]
    assert found["hausdorff_mm"] == usual["hausdorff_mm"]


def test_panoptica_calls_masd_assd_and_takes_the_smallest_spacing_as_tolerance() -> None:
    prediction, reference = blobs((16, 15, 14), 1), blobs((16, 15, 14), 2)
    found = score(prediction, reference, {"it": 1}, (1.0, 1.0, 2.0), how="panoptica")["it"].metrics
    usual = score(prediction, reference, {"it": 1}, (1.0, 1.0, 2.0))["it"].metrics
    assert found["assd_mm"] == found["masd_mm"] == usual["masd_mm"]
    assert "nsd_1mm" in found
    assert found["nsd_1mm"] != usual["nsd_1mm"]


def test_nnunet_counts_alone() -> None:
    found = score(BOX, BOX, {"it": 1}, (1.0, 1.0, 1.0), how="nnunet")["it"].metrics
    assert set(found) == {"dice", "iou", "tp_voxels", "fp_voxels", "fn_voxels", "tn_voxels"}


def test_totalsegmentator_ignores_the_header_and_forgives_false_alarms() -> None:
    moved = np.roll(BOX, 2, axis=0)
    near, far = (score(moved, BOX, {"it": 1}, (s,) * 3, how="totalsegmentator")["it"] for s in (1.0, 9.0))
    assert near.metrics == far.metrics
    assert set(near.metrics) == {"dice", "nsd_3mm"}
    alarm = score(BOX, EMPTY, {"it": 1}, (1.0, 1.0, 1.0), how="totalsegmentator")["it"].metrics
    assert np.isnan([alarm["dice"], alarm["nsd_3mm"]]).all()


def test_a_slice_keeps_its_2d_distances_unless_the_tool_does_not_squeeze() -> None:
    flat = blobs((30, 30), 4), blobs((30, 30), 5)
    two = score(*flat, {"it": 1}, (1.0, 1.0))["it"].metrics
    three = tuple(m[..., None] for m in flat)
    squeezed = score(*three, {"it": 1}, (1.0, 1.0, 5.0))
    assert squeezed.flags == ("squeezed",)
    for name in ("hausdorff_mm", "assd_mm", "nsd_1mm"):
        assert squeezed["it"].metrics[name] == two[name]
    assert score(*three, {"it": 1}, (1.0, 1.0, 5.0), how="monai")["it"].metrics["assd_mm"] < two["assd_mm"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_scores_and_names_itself(name: str) -> None:
    found = score(blobs((12, 12, 12), 1), blobs((12, 12, 12), 2), {"it": 1}, (1.0, 1.0, 1.0), how=name)
    assert found["it"].metrics["dice"] > 0
    assert PRESETS[name].name.startswith(f"{name}/")
    assert PRESETS[name].text


def test_an_unknown_preset_is_a_user_error() -> None:
    with pytest.raises(MedsegError, match="no preset 'dice'"):
        score(BOX, BOX, {"it": 1}, (1.0, 1.0, 1.0), how="dice")
