"""The report of the shipped hippocampus bundle on real scans of its validation split.

The picture for the README holds numbers only: slices of the scans are not ours to put into the repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from medseg.cli.app import main

Open = Callable[..., Any]
ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles" / "hippocampus_mr_unet3d"
DATA = Path(os.environ.get("MEDSEG_TEST_DATA", ".")) / "msd_hippocampus"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("MEDSEG_TEST_DATA" not in os.environ, reason="MEDSEG_TEST_DATA is unset"),
]


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    assert stopped.value.code == 0


def bundle_report(folder: Path, n_cases: int) -> Path:
    """The report of the first validation cases, predicted by the bundle as it is shipped."""
    manifest = json.loads((ROOT / "data_manifests" / "msd_hippocampus.json").read_text())
    manifest["validation"] = manifest["validation"][:n_cases]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    scans = [part for case in manifest["validation"] for part in ("-i", DATA / case["image"])]
    run("predict", BUNDLE, *scans, "-o", folder / "predictions")
    places = ("--predictions", folder / "predictions", "--manifest", folder / "manifest.json", "--data", DATA)
    run("evaluate", *places, "--split", "validation", "-o", folder / "out")
    return folder / "out" / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("n_cases", [2, pytest.param(39, marks=pytest.mark.all)])
def test_the_report_of_the_shipped_bundle_opens_and_its_viewer_draws(
    n_cases: int, visit: Open, tmp_path: Path
) -> None:
    seen = visit(bundle_report(tmp_path, n_cases), viewport={"width": 1200, "height": 900})
    page = seen.page
    folder = Path(os.environ.get("MEDSEG_PICTURES_OF_BUNDLE", tmp_path))
    page.screenshot(path=folder / "report.png")
    page.locator("button[data-volume]").first.click()
    expect(page.locator("#viewer-status")).to_be_empty(timeout=180_000)
    assert seen.complaints == []
    assert "Synthetic data" not in page.inner_text("header")
    assert page.locator(".facts strong").first.inner_text() == str(n_cases)
    assert page.locator("svg.picture").count() == min(3, n_cases) * 2
