"""A headless Chromium and two report pages for the browser tests.

The browser is Debian's: ``apt-get install -y chromium`` (``.ci/run`` does it), driven by Playwright from
the ``dev`` extra. MEDSEG_CHROMIUM names another one. Without a browser the tests fail and say so, for a skip
would hide a broken page.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from medseg.cli.app import main
from medseg.data.phantoms import write_phantoms
from medseg.report import write_page

FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE_MS = 180_000
"""A busy machine opens a page slowly; nothing here waits when it need not."""
HOSTILE = "<script>alert(1)</script>"


@dataclass
class Visit:
    """An open page and all that it complained of or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = (
        os.environ.get("MEDSEG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    assert program, "no Chromium: apt-get install -y chromium, or name one in MEDSEG_CHROMIUM"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of synthetic phantoms, their references rolled by a few voxels as predictions."""
    top = tmp_path_factory.mktemp("browser")
    manifest = write_phantoms(top / "data", 6, size=32)
    manifest.write_text(manifest.read_text().replace('"case": "phantom_000"', f'"case": "{HOSTILE}"'))
    (top / "predictions").mkdir()
    for number, path in enumerate(sorted((top / "data" / "labels").iterdir())):
        image = nib.load(path)
        rolled = np.roll(np.asarray(image.dataobj), number, axis=0)
        nib.save(nib.Nifti1Image(rolled.astype(np.uint8), image.affine), top / "predictions" / path.name)
    places = ["--predictions", top / "predictions", "--manifest", manifest, "--data", top / "data"]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *map(str, places), "-o", str(top / "out")])
    assert stopped.value.code == 0
    return top / "out" / "report.html"


@pytest.fixture(scope="session")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a thousand made-up cases with ten structures."""
    source = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scores = module.made_up_scores(1000, tuple(f"organ {i}" for i in range(10)))
    return write_page(scores, tmp_path_factory.mktemp("large"))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """What opens a page; all pages are closed at the end of the test."""
    opened: list[Page] = []

    def go(address: Path, **options: Any) -> Visit:
        found = _visit(browser, address, **options)
        opened.append(found.page)
        return found

    yield go
    for page in opened:
        page.close()


def _visit(browser: Browser, address: Path, **options: Any) -> Visit:
    """The page opened from the disk, listening for every complaint and request."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE_MS)
    found = Visit(page)
    page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("dialog", lambda dialog: found.complaints.append(f"dialog: {dialog.message}"))
    page.goto(address.as_uri())
    return found
