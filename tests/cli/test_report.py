"""`medseg report` and `medseg compare` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medseg.cli.app import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return int(stopped.value.code or 0)


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # From left to right in the file, as scanners like it, and 2 mm thick.
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1.0, 2.0, 1.0])), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases scored for two systems, with a manifest that names the scans."""
    top = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    entries = []
    for number in range(4):
        reference = np.zeros((24, 20, 12), np.uint8)
        reference[6:14, 5:12, 3:9] = 1
        save(rng.normal(100, 20, reference.shape).astype(np.int16), top / f"data/images/case_{number}.nii.gz")
        save(reference, top / f"data/labels/case_{number}.nii.gz")
        for system, shift in (("a", number), ("b", number + 1)):
            save(np.roll(reference, shift, 0), top / system / f"case_{number}.nii.gz")
        case = f"case_{number}"
        paths = {"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"}
        entries.append({"case": case, "patient": case, **paths})
    header = {"name": "boxes", "version": "1", "description": "Synthetic boxes.", "channels": ["MR"]}
    manifest = {**header, "labels": {"box": 1}, "training": entries}
    (top / "manifest.json").write_text(json.dumps(manifest))
    for system in "ab":
        places = ("--predictions", top / system, "--manifest", top / "manifest.json", "--data", top / "data")
        assert run("evaluate", *places, "-o", top / f"out_{system}") == 0
    return top


def test_evaluate_writes_the_page_with_pictures_and_the_viewer(folder: Path) -> None:
    page = (folder / "out_a" / "report.html").read_text()
    assert page.count('<svg class="picture"') == 3
    assert "viewer-data" in page
    assert "Radiological view" in page


def test_a_manifest_that_says_synthetic_makes_the_page_say_so(folder: Path) -> None:
    assert "Synthetic data." in (folder / "out_a" / "report.html").read_text()


def test_the_worst_case_is_first_with_its_largest_distance(folder: Path) -> None:
    page = (folder / "out_a" / "report.html").read_text()
    first = page[page.index("<figcaption>case_3") :]
    assert "arrow: largest distance 3.0 mm of the volume, in this slice" in first[:400]


def test_report_makes_the_page_again_without_pictures_where_none_are_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out_b" / "report.html").unlink()
    assert run("report", folder / "out_b", "--worst", 0, "--title", "Boxes <b>") == 0
    page = (folder / "out_b" / "report.html").read_text()
    assert "Boxes &lt;b&gt;" in page
    assert '<svg class="picture"' not in page
    assert str(folder / "out_b" / "report.html") in capsys.readouterr().out


def test_a_scan_that_moved_costs_a_picture_and_is_told(folder: Path) -> None:
    scan = folder / "data/labels/case_3.nii.gz"
    scan.rename(scan.with_name("away"))
    try:
        assert run("report", folder / "out_a") == 0
        page = (folder / "out_a" / "report.html").read_text()
    finally:
        scan.with_name("away").rename(scan)
    assert "No picture of case_3" in page
    assert page.count('<svg class="picture"') == 2


def test_a_folder_without_an_evaluation_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", tmp_path) == 2
    assert "report.json" in capsys.readouterr().err


def test_compare_tells_the_difference_of_each_structure_and_writes_both_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", folder / "out_a", folder / "out_b", "-o", folder / "versus") == 0
    assert "box, Dice: out_b minus out_a -0.1" in capsys.readouterr().out
    assert "out_a against out_b" in (folder / "versus" / "comparison.html").read_text()
    assert (folder / "versus" / "comparison.csv").read_text().startswith("a,b,structure,metric,n,")


def test_compare_does_not_replace_a_page_unasked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "comparison.html").write_text("mine")
    assert run("compare", folder / "out_a", folder / "out_b", "-o", tmp_path) == 2
    assert (tmp_path / "comparison.html").read_text() == "mine"


def test_pictures_get_an_overlay_in_colours_and_no_viewer(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:20, 10:30] = 255
    for place in ("p", "data/labels", "data/images"):
        (tmp_path / place).mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "data/labels/a.png")
    Image.fromarray(np.roll(mask, 2, 0)).save(tmp_path / "p/a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)).save(
        tmp_path / "data/images/a.jpg"
    )
    case = {"case": "a", "image": "images/a.jpg", "label": "labels/a.png"}
    header = {
        "name": "skin",
        "version": "1",
        "channels": ["RGB"],
        "labels": {"lesion": 1},
        "relabel": {"255": 1},
    }
    (tmp_path / "m.json").write_text(json.dumps({**header, "training": [case]}))
    places = ("--predictions", tmp_path / "p", "--manifest", tmp_path / "m.json", "--data", tmp_path / "data")
    assert run("evaluate", *places, "-o", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "arrow: largest distance 2.0 px" in page
    assert "viewer-data" not in page
