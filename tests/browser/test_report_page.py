"""The report as a reader has it: opened from the disk in a headless Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

Open = Callable[..., Any]
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def column(page: Any, number: int) -> list[str]:
    return page.locator(f"#case-table tbody tr > :nth-child({number})").all_inner_texts()


def test_the_page_complains_of_nothing_and_asks_for_nothing_but_itself(report: Path, visit: Open) -> None:
    seen = visit(report)
    seen.page.locator("button[data-volume]").first.click()
    expect(seen.page.locator("#viewer-status")).to_be_empty(timeout=180_000)
    assert seen.complaints == []
    assert [r for r in seen.requests if not r.startswith("data:")] == [report.as_uri()]


def test_a_hostile_case_name_is_read_as_text(report: Path, visit: Open) -> None:
    seen = visit(report)
    assert "<script>alert(1)</script>" in column(seen.page, 1)
    assert seen.complaints == []


def test_a_heading_sorts_by_number_up_and_then_down(report: Path, visit: Open) -> None:
    page = visit(report).page
    heading = page.locator("#case-table th button", has_text=re.compile("^Dice"))
    heading.click()
    rising = [float(v) for v in column(page, 4)]
    heading.click()
    falling = [float(v) for v in column(page, 4)]
    assert rising == sorted(rising)
    assert falling == sorted(rising, reverse=True)
    assert rising[0] < rising[-1]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Dice")


def test_the_filter_leaves_only_the_cases_named_and_clear_brings_all_back(report: Path, visit: Open) -> None:
    page = visit(report).page
    everything = len(column(page, 1))
    page.fill("#filter-text", "phantom_003")
    assert set(column(page, 1)) == {"phantom_003"}
    page.select_option("#filter-structure", "1")
    assert len(column(page, 1)) == 1
    page.click("#filter-clear")
    assert len(column(page, 1)) == everything


def test_the_viewer_draws_and_its_picture_changes_without_the_prediction(report: Path, visit: Open) -> None:
    page = visit(report).page
    page.locator("button[data-volume]").first.click()
    expect(page.locator("#viewer-status")).to_be_empty(timeout=180_000)
    stage = page.locator(".stage")
    with_both = stage.screenshot()
    page.click("#viewer-prediction")
    without = stage.screenshot()
    page.evaluate("document.querySelector('#viewer canvas').style.visibility = 'hidden'")
    assert len({with_both, without, stage.screenshot()}) == 3


def test_a_dot_under_the_pointer_tells_its_case(report: Path, visit: Open) -> None:
    page = visit(report).page
    plot = page.locator("svg[data-metric=dice]")
    plot.scroll_into_view_if_needed()
    at = plot.evaluate(
        """svg => { const path = svg.querySelector('path.dots').getAttribute('d');
        const [x, y] = path.match(/M([-.0-9]+) ([-.0-9]+)/).slice(1).map(Number);
        const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [p.x, p.y] }"""
    )
    page.mouse.move(*at)
    assert re.search(r"· Dice \d\.\d{3}", page.locator("#tip").inner_text())


def test_the_arrow_keys_go_from_dot_to_dot_and_enter_finds_the_case(report: Path, visit: Open) -> None:
    page = visit(report).page
    page.locator("svg[data-metric=dice]").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#live").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#live").inner_text() != first
    page.keyboard.press("Enter")
    assert page.input_value("#filter-text") in page.locator("#live").inner_text()


def test_the_policy_stops_a_script_that_got_in_and_a_request_that_would_leave(
    report: Path, visit: Open
) -> None:
    seen = visit(report)
    seen.page.evaluate(
        """const s = document.createElement('script'); s.textContent = 'window.broken = 1';
        document.body.append(s)"""
    )
    sent = seen.page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'stopped')")
    assert seen.page.evaluate("window.broken") is None
    assert sent == "stopped"
    assert sum("Content Security Policy" in text for text in seen.complaints) >= 2


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(report: Path, visit: Open, width: int) -> None:
    page = visit(report, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_readers_get_their_own_colours(report: Path, visit: Open) -> None:
    ask = "getComputedStyle(document.body).backgroundColor"
    light = visit(report, color_scheme="light").page.evaluate(ask)
    dark = visit(report, color_scheme="dark").page.evaluate(ask)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(16, 20, 24)")


def test_on_paper_controls_and_viewer_are_left_out(report: Path, visit: Open) -> None:
    page = visit(report).page
    page.emulate_media(media="print")
    assert not page.locator("#filter-text").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.locator("#summary table").first.is_visible()


def test_without_scripts_the_numbers_and_figures_are_still_there(report: Path, visit: Open) -> None:
    page = visit(report, java_script_enabled=False).page
    assert page.locator("#case-table tbody tr").count() == 18
    assert page.locator("svg.figure path.dots").count() > 3


def test_every_control_and_picture_has_a_name_for_a_screen_reader(report: Path, visit: Open) -> None:
    page = visit(report).page
    nameless = page.evaluate(
        """[...document.querySelectorAll('svg[role=img], button, input, select, canvas')].filter(e =>
        !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("h1").count() == 1


def test_ten_thousand_rows_are_sorted_in_under_a_second(large_report: Path, visit: Open) -> None:
    page = visit(large_report).page
    took_ms = page.evaluate(
        """() => { const button = document.querySelectorAll('#case-table th button')[3];
        return Math.min(...[1, 2, 3, 4, 5].map(() => { const start = performance.now(); button.click();
        document.body.offsetHeight; return performance.now() - start })) }"""
    )
    assert page.locator("#case-count").inner_text() == "10000 of 10000 rows"
    assert took_ms < 1000


def test_on_paper_the_table_has_every_row_and_on_screen_a_page(large_report: Path, visit: Open) -> None:
    page = visit(large_report).page
    rows = page.locator("#case-table tbody tr")
    page.fill("#filter-text", "1")
    n = int(page.locator("#case-count").inner_text().split()[0])
    assert rows.count() == 50 < n
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows.count() == n
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert rows.count() == 50


def test_pictures_for_the_documents_show_the_first_screen(report: Path, visit: Open, tmp_path: Path) -> None:
    folder = PICTURES if os.environ.get("MEDSEG_PICTURES") else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, scheme in (("desktop", 1200, "light"), ("dark", 1200, "dark"), ("phone", 390, "light")):
        page = visit(report, viewport={"width": width, "height": 860}, color_scheme=scheme).page
        page.screenshot(path=folder / f"report_demo_{name}.png")
    page = visit(report, viewport={"width": 1200, "height": 860}).page
    page.locator("#worst .cards").first.screenshot(path=folder / "report_demo_worst.png")
    page.locator("button[data-volume]").first.click()
    expect(page.locator("#viewer-status")).to_be_empty(timeout=180_000)
    page.locator("#viewer").screenshot(path=folder / "report_demo_viewer.png")
    assert len({path.read_bytes() for path in folder.glob("report_demo_*.png")}) == 5
