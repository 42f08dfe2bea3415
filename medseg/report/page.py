"""The frame of a page: templates, the policy that lets nothing else in, and how numbers are written.

Every name from a file goes through the template's escaping; the only text that does not is our own style and
scripts, and the policy names each of those by its SHA-256, so nothing else runs
even if an escape were missed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medseg import __version__
from medseg.report.statistics import Interval

_TEMPLATES = Path(__file__).with_name("templates")
_VIEWER = Path(__file__).with_name("viewer")


def render(
    template: str, title: str, *, scripts: Sequence[str], data: Mapping[str, object], **context: Any
) -> str:
    """The page as one string of HTML.

    Args:
        template: file name under ``templates/``.
        title: of the browser's tab.
        scripts: program texts, each put inline in this order.
        data: id to JSON-like value, put inline before the scripts.
        context: what the template names.
    """
    style = asset("style.css")
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            version=__version__,
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            data=data,
            policy=policy(style, scripts),
            **context,
        )
    )


def policy(style: str, scripts: Sequence[str]) -> str:
    """A Content-Security-Policy under which only these texts run and nothing but inline pictures loads."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def asset(name: str) -> str:
    """The text of a file under ``templates/``."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def niivue() -> str:
    """The viewer's program, unchanged from its package; ``viewer/README.md`` tells where it came from."""
    return gzip.decompress((_VIEWER / "niivue-0.69.0.umd.js.gz").read_bytes()).decode("utf-8")


def number(value: float, digits: int) -> str:
    """A number for a reader: a true minus sign, ∞ for infinite and a dash for undefined.

    >>> number(-0.123, 2), number(float("inf"), 2), number(float("nan"), 2)
    ('−0.12', '∞', '–')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def p_value(value: float) -> str:
    """A p-value for a reader.

    >>> p_value(0.00001), p_value(0.0432)
    ('< 0.0001', '0.043')
    """
    if math.isnan(value):
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.01 else f"{value:.3f}"


def interval(ends: Interval, digits: int) -> str:
    """An interval for a reader: ``0.81 to 0.87``; a dash where there is none."""
    if math.isnan(ends.low):
        return "–"
    return f"{number(ends.low, digits)} to {number(ends.high, digits)}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("medseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["p"] = p_value
    environment.filters["interval"] = interval
    return environment


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
