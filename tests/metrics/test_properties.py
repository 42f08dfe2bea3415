"""What must hold for any pair of masks, by chance and by a brute-force second implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medseg.metrics import score, score_channels
from tests.metrics.masks import blobs

SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
MASKS = SHAPES.flatmap(
    lambda s: st.tuples(*[arrays(np.uint8, s, elements=st.integers(0, 2), fill=st.just(0))] * 2)
)
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 1.3, 5.0])] * 3)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _boundary_points(mask: np.ndarray) -> np.ndarray:
    """Voxel by voxel, with no trick."""
    found = []
    for at in np.argwhere(mask):
        steps = [s * np.eye(mask.ndim, dtype=int)[a] for a in range(mask.ndim) for s in (-1, 1)]
        inside = [((at + s >= 0) & (at + s < mask.shape)).all() and mask[tuple(at + s)] for s in steps]
        if not all(inside):
            found.append(at)
    return np.asarray(found)


def _brute_force(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> list[float]:
    """HD, HD95, ASSD, MASD and NSD at 1 mm from all pairs of boundary voxels."""
    p, r = _boundary_points(prediction) * spacing, _boundary_points(reference) * spacing
    table = np.sqrt(((p[:, None] - r[None]) ** 2).sum(-1))
    there, back = table.min(0), table.min(1)
    pooled = np.concatenate([there, back])
    return [
        pooled.max(),
        max(np.percentile(there, 95), np.percentile(back, 95)),
        pooled.mean(),
        (there.mean() + back.mean()) / 2,
        (pooled <= 1 + 1e-6).mean(),
    ]


NAMES = ("hausdorff_mm", "hd95_mm", "assd_mm", "masd_mm", "nsd_1mm")


@pytest.mark.parametrize("engine", ["numba", "scipy"])
@pytest.mark.parametrize("seed", range(4))
def test_distances_equal_brute_force(engine: str, seed: int) -> None:
    spacing = (0.7, 1.9, 3.1)
    prediction, reference = (blobs((9, 8, 7), seed + n, level=0.02, smooth=1) for n in (0, 20))
    found = score(prediction, reference, {"it": 1}, spacing, engine=engine)["it"].metrics  # type: ignore[arg-type]
    assert [found[n] for n in NAMES] == pytest.approx(_brute_force(prediction, reference, spacing), abs=1e-9)


@QUICK
@given(MASKS, SPACINGS)
def test_both_engines_give_the_same_numbers(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, ...]
) -> None:
    structures = {"one": 1, "two": 2, "both": (1, 2)}
    fast, plain = (score(*pair, structures, spacing, engine=e) for e in ("numba", "scipy"))  # type: ignore[arg-type]
    for one, other in zip(fast.structures, plain.structures, strict=True):
        assert one.status == other.status
        assert one.metrics == pytest.approx(other.metrics, abs=1e-9, nan_ok=True)
    assert fast.overall == pytest.approx(plain.overall, abs=1e-9, nan_ok=True)


def _scattered(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A few small boxes, also at the edges and far apart."""
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, np.uint16)
    for corner in (*rng.integers(0, shape, (3, len(shape))), np.asarray(shape) - 1):
        out[tuple(slice(c, c + 2) for c in corner)] = rng.integers(1, 4)
    return out


@pytest.mark.parametrize("how", ["medseg", "deepmind"])
@pytest.mark.parametrize("ignore_label", [None, 3])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((3, 30, 200), (1.0, 1.0, 1.0)),
        ((64, 5, 65), (5.0, 0.7, 0.7)),
        ((40, 40, 63), (0.05, 1.0, 12.0)),
        ((130, 129), (0.3, 1.3)),
    ],
)
def test_both_engines_agree_over_long_rows_and_far_apart(
    shape: tuple[int, ...], spacing: tuple[float, ...], ignore_label: int | None, how: str
) -> None:
    pair = _scattered(shape, 1), _scattered(shape, 2)
    fast, plain = (
        score(*pair, {"one": (1, 2), "all": (1, 2, 3)}, spacing, how=how, ignore_label=ignore_label, engine=e)  # type: ignore[arg-type]
        for e in ("numba", "scipy")
    )
    assert len(fast.structures) == 2
    for one, other in zip(fast.structures, plain.structures, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-9, nan_ok=True)


@QUICK
@given(MASKS, SPACINGS)
def test_scores_are_symmetric_and_bounded(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, ...]
) -> None:
    there = score(*pair, {"it": 1}, spacing)["it"].metrics
    back = score(*pair[::-1], {"it": 1}, spacing)["it"].metrics
    for name in ("dice", "iou", "boundary_iou", *NAMES):
        assert there[name] == pytest.approx(back[name], abs=1e-9, nan_ok=True)
    assert np.isnan(there["dice"]) or 0 <= there["iou"] <= there["dice"] <= 1
    assert np.isnan(there["hd95_mm"]) or 0 <= there["hd95_mm"] <= there["hausdorff_mm"]
    assert np.isnan(there["nsd_1mm"]) or 0 <= there["nsd_1mm"] <= there["nsd_2mm"] <= 1


# MONAI 1.6.1 passes its own deprecated argument.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy.*:FutureWarning")
def test_the_default_equals_monai_to_its_float32() -> None:
    metrics = pytest.importorskip("monai.metrics")
    import torch

    spacing = (1.0, 1.5, 2.0)
    prediction, reference = blobs((20, 18, 16), 1), blobs((20, 18, 16), 2)
    pair = [torch.from_numpy(m)[None, None].float() for m in (prediction, reference)]
    options = {"include_background": True, "spacing": spacing}
    expected = [
        metrics.compute_hausdorff_distance(*pair, **options).item(),
        metrics.compute_hausdorff_distance(*pair, percentile=95, **options).item(),
        metrics.compute_average_surface_distance(*pair, symmetric=True, **options).item(),
        metrics.compute_surface_dice(*pair, [1.0], **options).item(),
        metrics.compute_dice(*pair).item(),
    ]
    names = ("hausdorff_mm", "hd95_mm", "assd_mm", "nsd_1mm", "dice")
    for how in ("medseg", "monai"):
        found = score(prediction, reference, {"it": 1}, spacing, how=how, tolerances_mm=[1.0])["it"].metrics
        assert [found[n] for n in names] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
def test_any_integer_type_scores_alike(kind: type) -> None:
    labels = blobs((8, 9, 7), 3).astype(kind)
    moved = np.roll(labels, 1, 0)
    expected = score(np.roll(blobs((8, 9, 7), 3), 1, 0), blobs((8, 9, 7), 3), {"it": 1}, (1.0, 1.0, 1.0))[
        "it"
    ]
    assert score(moved, labels, {"it": 1}, (1.0, 1.0, 1.0))["it"].metrics == expected.metrics


@pytest.mark.parametrize("value", [256, 300, 65535, 70000, -1, -1000, 2**40])
def test_labels_above_255_and_below_0_do_not_wrap(value: int) -> None:
    kind = np.int64 if abs(value) > 30000 else np.int16
    labels = np.zeros((6, 6, 6), kind)
    labels[1:3, 1:3, 1:3] = value
    labels[4, 4, 4] = value % 256 or 7
    found = score(labels, labels, {"it": value, "zero": 0}, (1.0, 1.0, 1.0))
    assert found["it"].metrics["tp_voxels"] == 8
    assert found["zero"].metrics["tp_voxels"] == 216 - 9


def test_labels_spread_over_more_than_16_bits_are_told_apart() -> None:
    labels = np.zeros((4, 4, 4), np.int64)
    labels[0, 0, 0], labels[1, 1, 1], labels[2, 2, 2] = 1, 1 + 65536, 2**33
    found = score(labels, labels, {"one": 1, "big": 2**33}, (1.0, 1.0, 1.0))
    assert [s.metrics["tp_voxels"] for s in found.structures] == [1, 1]
    assert found.unknown["reference"] == {65537: 1}


def test_more_than_64_structures_score_as_one_by_one() -> None:
    labels = np.arange(191, 291, dtype=np.uint16).reshape(5, 2, 10)
    names = {f"label {n}": n for n in range(191, 291)}
    found = score(np.roll(labels, 1, 2), labels, names, (1.0, 1.0, 2.0))
    assert len(found.structures) == 100
    assert found["label 257"].metrics["hausdorff_mm"] == 2
    assert found["label 191"].metrics["hausdorff_mm"] == 2


@pytest.mark.parametrize("engine", ["numba", "scipy"])
@pytest.mark.parametrize("label", [65536, 2**40, 0, -7])
def test_the_value_of_a_label_changes_no_number(label: int, engine: str) -> None:
    prediction, reference = blobs((9, 8, 7), 1), blobs((9, 8, 7), 2)
    expected = score(prediction, reference, {"it": 1}, (1.0, 0.7, 2.0))["it"].metrics
    renamed = [np.where(m == 1, np.int64(label), np.int64(2**50)) for m in (prediction, reference)]
    found = score(*renamed, {"it": label}, (1.0, 0.7, 2.0), engine=engine)["it"].metrics
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_turned_view_of_wide_labels_scores_as_the_array_itself() -> None:
    wide = [blobs((9, 8, 7), s).astype(np.int64) * 2**40 for s in (1, 2)]
    turned = [np.ascontiguousarray(m.transpose(1, 2, 0)).transpose(2, 0, 1) for m in wide]
    one, other = (score(*m, {"it": 2**40}, (1.0, 0.7, 2.0))["it"].metrics for m in (wide, turned))
    assert one == other


@pytest.mark.parametrize("engine", ["numba", "scipy"])
def test_each_of_many_overlapping_channels_scores_as_it_would_alone(engine: str) -> None:
    pair = [np.stack([blobs((9, 8, 7), side + 2 * i) for i in range(12)]) for side in (0, 1)]
    names = [str(i) for i in range(12)]
    found = score_channels(*pair, names, (1.0, 0.7, 2.0), engine=engine)
    for i, name in enumerate(names):
        alone = score(pair[0][i], pair[1][i], {"it": 1}, (1.0, 0.7, 2.0))["it"].metrics
        assert found[name].metrics == pytest.approx(alone, abs=1e-9, nan_ok=True)
