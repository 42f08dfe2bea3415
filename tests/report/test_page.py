from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable

import pytest

from medseg.report import Scores, report_page
from medseg.report.page import number, policy


@pytest.fixture(scope="module")
def page(made_up: Callable[..., Scores]) -> str:
    return report_page(made_up())


def test_a_hostile_case_name_is_shown_and_not_markup(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_policy_names_the_hash_of_every_program_and_of_the_style(page: str) -> None:
    programs = re.findall(r"<script>(.*?)</script>", page, re.S)
    styles = re.findall(r"<style>(.*?)</style>", page, re.S)
    policy_text = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert programs
    assert policy_text is not None
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in programs + styles]
    assert [h for h in hashes if h not in policy_text[1].replace("&#43;", "+")] == []


def test_the_policy_lets_nothing_else_in() -> None:
    assert policy("a", ["b"]).startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy("a", ["b"])


def test_the_page_names_no_address_to_load_from(page: str) -> None:
    assert [a for a in re.findall(r'(?:src|href)="([^"]*)"', page) if not a.startswith(("#", "data:"))] == []
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_failures_stand_before_the_summary(page: str) -> None:
    assert (
        page.index("Failures first") < page.index("Summary per structure") < page.index("Every case as a dot")
    )


def test_synthetic_data_are_called_synthetic_at_the_top(page: str) -> None:
    assert page.index("Synthetic data") < page.index('id="failures"')


def test_the_first_screen_names_the_definition_the_tolerances_and_the_hash(
    page: str, made_up: Callable[..., Scores]
) -> None:
    head = page[: page.index('id="failures"')]
    assert "medseg/1" in head
    assert "1, 2 mm" in head
    assert made_up().digest()[:16] in head


def test_the_table_data_hold_every_case_and_structure_with_infinities_as_words(page: str) -> None:
    found = re.search(r'id="table-data">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found[1])
    assert len(data["rows"]) == 80
    assert data["rows"][0][2] == "error:geometry_mismatch"
    assert "inf" in [row[4] for row in data["rows"]]


def test_the_penalised_mean_stands_in_the_summary(page: str) -> None:
    assert ">9.50</td>" in page


def test_a_thousand_cases_of_ten_structures_stay_far_under_fifteen_megabytes(
    made_up: Callable[..., Scores],
) -> None:
    page = report_page(made_up(1000, tuple(f"organ {i}" for i in range(10))))
    assert len(page.encode()) < 5_000_000


@pytest.mark.parametrize(
    ("value", "text"), [(-0.001, "0.00"), (-1.5, "−1.50"), (math.inf, "∞"), (math.nan, "–"), (0.875, "0.88")]
)
def test_numbers_are_written_for_readers(value: float, text: str) -> None:
    assert number(value, 2) == text
