"""The 20 policy vectors: what a file may be, and what its row then says."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.data.label_maps import read_label_map
from medseg.evaluation import Evaluation, Inputs, Options, evaluate
from medseg.evaluation.cases import CaseResult
from medseg.metrics import score
from medseg.metrics.coded_scoring import Engine

AFFINE = np.diag([-1.0, 1.5, 2.0, 1.0])


def _box(shape: tuple[int, ...] = (12, 11, 10)) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    out[3:8, 2:7, 3:7] = 1
    out[4:6, 3:5, 4:6] = 2
    return out


def _write(array: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


class Bench:
    """A folder with one reference, `case.nii.gz`, to which a test adds a prediction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reference = _write(_box(), root / "references" / "case.nii.gz")
        self.prediction = root / "predictions" / "case.nii.gz"
        _write(_box(), self.prediction)

    def evaluate(self, **options: object) -> Evaluation:
        chosen = Options(**{"labels": {"organ": (1, 2), "tumour": 2}, **options})  # type: ignore[arg-type]
        inputs = Inputs(self.root / "predictions", self.root / "references")
        return evaluate(inputs, self.root / "out", options=chosen, overwrite=True)

    def row(self, **options: object) -> CaseResult:
        return self.evaluate(**options).results[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_p1_nan_labels_are_an_error_with_their_count(bench: Bench) -> None:
    broken = _box().astype(np.float32)
    broken[0, 0, :4] = np.nan
    _write(broken, bench.prediction)
    row = bench.row()
    assert row.status == "error:nan_labels"
    assert "4 voxels" in row.message


def test_p2_labels_a_hair_beside_a_whole_number_are_taken_and_flagged(bench: Bench) -> None:
    _write(_box().astype(np.float32) * np.float32(0.9999999), bench.prediction)
    row = bench.row()
    assert row.status == "ok"
    assert "float_labels:prediction" in row.flags
    assert row.score is not None
    assert row.score["organ"].metrics["dice"] == 1


def test_p3_probabilities_are_an_error_that_says_to_threshold(bench: Bench) -> None:
    _write(_box().astype(np.float32) * 0.3, bench.prediction)
    row = bench.row()
    assert row.status == "error:non_integer"
    assert "threshold" in row.message


def test_p4_an_affine_off_by_less_than_a_thousandth_voxel_is_the_same_grid(bench: Bench) -> None:
    near = AFFINE.copy()
    near[0, 3] += 5e-4
    _write(_box(), bench.prediction, near)
    assert (bench.row().status, bench.row().flags) == ("ok", ())


@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "SAR", "PIR"])
def test_p5_another_orientation_of_the_same_grid_scores_as_the_same(bench: Bench, axcodes: str) -> None:
    moved = np.roll(_box(), 1, axis=2)
    image = nib.Nifti1Image(moved, AFFINE)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(tuple(axcodes))
    )
    nib.save(image.as_reoriented(turn), bench.prediction)
    row = bench.row()
    expected = score(moved, _box(), {"organ": (1, 2), "tumour": 2}, (1.0, 1.5, 2.0))
    assert (row.status, row.flags) == ("ok", ("reoriented",))
    assert row.score is not None
    assert row.score["organ"].metrics == pytest.approx(expected["organ"].metrics, abs=1e-12)


@pytest.mark.parametrize(
    "change", [(0, 3, 1.0), (1, 1, 0.1), (0, 1, 0.3)], ids=["origin", "spacing", "shear"]
)
def test_p6_another_geometry_is_an_error_unless_resampling(
    bench: Bench, change: tuple[int, int, float]
) -> None:
    affine = AFFINE.copy()
    affine[change[0], change[1]] += change[2]
    _write(_box(), bench.prediction, affine)
    assert bench.row().status == "error:geometry_mismatch"
    row = bench.row(resample=True)
    assert (row.status, row.flags[0]) == ("ok", "resampled")


def test_p6_resampling_by_a_voxel_is_that_shift(bench: Bench) -> None:
    affine = AFFINE.copy()
    affine[2, 3] += 2.0
    _write(_box(), bench.prediction, affine)
    row = bench.row(resample=True)
    assert row.score is not None
    assert row.score["organ"].metrics["centre_distance_mm"] == pytest.approx(2.0)


def test_p7_another_shape_is_an_error(bench: Bench) -> None:
    _write(_box()[:-1], bench.prediction)
    assert bench.row().status == "error:shape_mismatch"


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan])
def test_p8_an_impossible_voxel_size_is_an_error(bench: Bench, size: float) -> None:
    content = bytearray(gzip.decompress(bench.reference.read_bytes()))
    content[80:84] = np.float32(size).tobytes()
    bench.reference.write_bytes(gzip.compress(bytes(content)))
    assert bench.row().status == "error:spacing"


def test_p8_where_sform_and_qform_disagree_the_sform_holds_with_a_flag(bench: Bench) -> None:
    image = nib.Nifti1Image(_box(), AFFINE)
    other = AFFINE.copy()
    other[0, 3] = 30
    image.set_qform(other, code=1)
    image.set_sform(AFFINE, code=1)
    nib.save(image, bench.prediction)
    row = bench.row()
    assert (row.status, row.flags) == ("ok", ("qform_disagrees:prediction",))


def test_p9_one_slice_scores_as_two_dimensions(bench: Bench) -> None:
    flat = _box()[:, :, 4:5]
    _write(flat, bench.reference)
    _write(np.roll(flat, 1, axis=0), bench.prediction)
    row = bench.row()
    two = score(np.roll(flat[..., 0], 1, axis=0), flat[..., 0], {"organ": (1, 2)}, (1.0, 1.5))
    assert "squeezed" in row.flags
    assert row.score is not None
    assert row.score["organ"].metrics["assd_mm"] == two["organ"].metrics["assd_mm"]


def test_p10_channels_are_regions_that_may_overlap(bench: Bench) -> None:
    channels = np.stack([_box() > 0, _box() == 2], axis=-1).astype(np.uint8)
    _write(channels, bench.prediction)
    from_map = bench.row()
    _write(channels, bench.reference)
    both = bench.row()
    for row in (from_map, both):
        assert row.score is not None
        assert [s.metrics["dice"] for s in row.score.structures] == [1, 1]


@pytest.mark.parametrize("engine", ["numba", "scipy"])
def test_p11_ignored_voxels_count_for_nothing_and_ask_no_distance(bench: Bench, engine: str) -> None:
    reference, prediction = _box(), _box()
    reference[8:, :, :] = 9
    prediction[8:11, 2:7, 3:7] = 1
    _write(reference, bench.reference)
    _write(prediction, bench.prediction)
    row = bench.row(ignore_label=9, engine=engine)
    assert row.score is not None
    found = row.score["organ"].metrics
    assert (found["dice"], found["hausdorff_mm"], found["nsd_surfel_1mm"]) == (1, 0, 1)
    assert found["tn_voxels"] + found["tp_voxels"] == 8 * 11 * 10
    assert bench.row().score["organ"].metrics["dice"] < 1  # type: ignore[index]


@pytest.mark.parametrize("engine", ["numba", "scipy"])
def test_p11_where_all_surface_lies_at_ignored_voxels_no_surface_score_is_defined(engine: Engine) -> None:
    reference = np.full((5, 5, 5), 9, np.uint8)
    reference[2, 2, 2] = 1
    prediction = (reference == 1).astype(np.uint8)
    found = score(prediction, reference, {"it": 1}, (1.0, 1.0, 1.0), ignore_label=9, engine=engine)["it"]
    names = ("hausdorff_mm", "hd95_mm", "assd_mm", "nsd_1mm", "nsd_surfel_1mm", "boundary_f1_1mm")
    assert np.isnan([found.metrics[name] for name in names]).all()
    assert found.metrics["dice"] == 1


def test_p11_the_preset_monai_counts_ignored_voxels_as_background_of_both(bench: Bench) -> None:
    reference, prediction = _box(), _box()
    reference[6:8, 2:7, 3:7] = 9
    _write(reference, bench.reference)
    _write(prediction, bench.prediction)
    row = bench.row(ignore_label=9, preset="monai")
    both = _box()
    both[6:8, 2:7, 3:7] = 0
    expected = score(both, both, {"organ": (1, 2), "tumour": 2}, (1.0, 1.5, 2.0), how="monai")
    assert row.score is not None
    assert row.score["organ"].metrics == expected["organ"].metrics
    assert row.score["organ"].metrics["tn_voxels"] == 12 * 11 * 10 - 3 * 5 * 4


@pytest.mark.parametrize(("side", "number", "n_voxels"), [("prediction", 7, 5), ("reference", 8, 3)])
def test_p12_an_unknown_label_is_flagged_with_its_voxels(
    bench: Bench, side: str, number: int, n_voxels: int
) -> None:
    odd = _box()
    odd[0, 0, :n_voxels] = number
    _write(odd, getattr(bench, side))
    evaluation = bench.evaluate()
    assert f"unknown_label:{side}:{number}:{n_voxels}_voxels" in evaluation.results[0].flags
    assert evaluation.report["cases"][0]["unknown_labels"][side] == {str(number): n_voxels}


def test_p13_a_missing_prediction_is_a_row_and_counts_as_empty_in_penalised_means(bench: Bench) -> None:
    _write(_box(), bench.root / "references" / "other.nii.gz")
    evaluation = bench.evaluate()
    assert [r.status for r in evaluation.results] == ["ok", "missing_prediction"]
    rows = {(r.structure, r.metric): r for r in evaluation.summary}
    diagonal = float(np.linalg.norm(np.asarray((12, 11, 10)) * (1.0, 1.5, 2.0)))
    assert (rows["organ", "dice"].mean, rows["organ", "dice"].penalised_mean) == (1, 0.5)
    assert rows["organ", "hd95_mm"].penalised_mean == pytest.approx(diagonal / 2)
    assert rows["organ", "hd95_mm"].n_missing_prediction == 1


def test_p14_a_prediction_without_reference_is_listed_and_not_scored(bench: Bench) -> None:
    _write(_box(), bench.root / "predictions" / "stranger.nii.gz")
    evaluation = bench.evaluate()
    assert len(evaluation.results) == 1
    assert evaluation.report["unmatched"]["predictions"] == ["stranger.nii.gz"]


def test_p15_two_predictions_of_one_case_are_an_error(bench: Bench) -> None:
    nib.save(nib.Nifti1Image(_box(), AFFINE), bench.root / "predictions" / "case.nii")
    assert bench.row().status == "error:duplicate"


def test_p15_two_references_of_one_case_are_an_error(bench: Bench) -> None:
    nib.save(nib.Nifti1Image(_box(), AFFINE), bench.root / "references" / "case.nii")
    assert [r.status for r in bench.evaluate().results] == ["error:duplicate"]


def test_p15_a_damaged_file_is_an_error_and_the_run_goes_on(bench: Bench) -> None:
    for name in ("references", "predictions"):
        _write(_box(), bench.root / name / "whole.nii.gz")
    content = bytearray(bench.prediction.read_bytes())
    content[-6] ^= 1
    bench.prediction.write_bytes(content)
    evaluation = bench.evaluate()
    assert [r.status for r in evaluation.results] == ["error:unreadable", "ok"]
    assert evaluation.n_errors == 1


def test_p16_labels_of_256_and_below_0_are_kept_apart(bench: Bench) -> None:
    wide = _box().astype(np.int16)
    wide[wide == 1], wide[wide == 2] = 256, -3
    _write(wide, bench.reference)
    _write(wide, bench.prediction)
    row = bench.row(labels={"big": 256, "negative": -3})
    assert row.score is not None
    assert [s.metrics["tp_voxels"] for s in row.score.structures] == [
        (_box() == 1).sum(),
        (_box() == 2).sum(),
    ]


def test_p17_counts_and_places_are_64_bit() -> None:
    from medseg.metrics import score

    # More than 2**31 voxels, of which the system maps hardly a page.
    labels = [np.zeros((2**11, 2**10, 2**10 + 8), np.uint8) for _ in range(2)]
    labels[0][-4:, -4:, -4:], labels[1][-4:, -4:, -7:-3] = 1, 1
    found = score(*labels, {"it": 1}, (1.0, 1.0, 1.0), how="monai")["it"].metrics
    assert found["hausdorff_mm"] == 3
    assert found["tn_voxels"] == labels[0].size - 16 * 7


def test_p18_a_tolerance_of_0_is_the_share_of_coinciding_surface(bench: Bench) -> None:
    _write(np.roll(_box(), 1, axis=0), bench.prediction)
    row = bench.row(tolerances_mm={"*": [0.0]})
    assert row.score is not None
    metrics = row.score["organ"].metrics
    iou = metrics["boundary_iou"]
    assert 0 < metrics["nsd_0mm"] == pytest.approx(2 * iou / (1 + iou))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_p19_big_endian_is_read_as_little_endian(tmp_path: Path, suffix: str) -> None:
    labels = _box().astype(np.int16)
    labels[0, 0, 0] = 300
    header = nib.Nifti1Header(endianness=">")
    path = tmp_path / f"big{suffix}"
    nib.save(nib.Nifti1Image(labels.astype(">i2"), AFFINE, header), path)
    found = read_label_map(path)
    assert found.array.dtype == np.int16
    assert (found.array == labels).all()


def test_p19_colours_are_an_error(bench: Bench) -> None:
    rgb = np.zeros((12, 11, 10), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    _write(rgb, bench.prediction)
    assert bench.row().status == "error:rgb"


def test_p20_foreground_everywhere_is_perfect(bench: Bench) -> None:
    full = np.full((12, 11, 10), 2, np.uint8)
    _write(full, bench.reference)
    _write(full, bench.prediction)
    row = bench.row()
    assert row.score is not None
    assert (row.score["organ"].metrics["dice"], row.score["organ"].metrics["hausdorff_mm"]) == (1, 0)
