"""The scores that a bundle claims: in its metadata, and told on its page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medseg.bundle.verify.step import Step, failed, passed


def check_scores(root: Path, meta: dict[str, Any]) -> Step:
    """``eval_metrics`` holds numbers, and docs/README.md tells at least one of them."""
    scores = dict(_numbers("", meta.get("eval_metrics")))
    if not scores:
        return failed(
            "scores", "eval_metrics of metadata.json holds no number: what does it reach, on which data?"
        )
    bad = [name for name, value in scores.items() if not math.isfinite(value)]
    if bad:
        return failed("scores", f"eval_metrics: {', '.join(bad)} is no finite number")
    page = next((p for p in (root / "docs" / "README.md", root / "README.md") if p.is_file()), None)
    text = page.read_text(encoding="utf-8", errors="replace") if page else ""
    shown = ", ".join(f"{k} {v:g}" for k, v in list(scores.items())[:6])
    if not any(form in text for value in scores.values() for form in _forms(value)):
        return failed("scores", f"docs/README.md tells none of the scores of metadata.json ({shown})")
    return passed("scores", shown)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)
    elif isinstance(value, str):
        try:
            yield name, float(value)
        except ValueError:
            return


def _forms(value: float) -> set[str]:
    """How a page may write a number: ``0.887``, ``.8875``, ``88.7``."""
    forms = {f"{value:g}", *(f"{value:.{n}f}" for n in (1, 2, 3, 4))}
    if 0 < value <= 1:
        forms = {f"{value:.{n}f}".removeprefix("0") for n in (2, 3, 4)} | {f"{100 * value:.1f}"}
    return {form for form in forms if len(form) > 2}
