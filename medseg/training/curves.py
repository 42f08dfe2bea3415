"""The curves of a run as one SVG: loss, scores and learning rate over the epochs."""

from __future__ import annotations

import math
from html import escape

COLOURS = ("#1f6fb4", "#d1661b", "#2f8f4e", "#8a4fb0", "#a8323e", "#5b6670", "#b08a12", "#2a9d9d")
WIDTH, HEIGHT, LEFT, GAP = 720, 190, 64, 28


def curves_svg(rows: list[dict[str, float]]) -> str:
    """A picture of the rows of ``history.csv``: three panels, one polyline per column, legends and limits."""
    known = {"epoch", "step", "loss", "learning_rate", "score"}
    parts = [name for row in rows for name in row if name not in known]
    panels = [["loss"], ["score", *dict.fromkeys(parts)], ["learning_rate"]]
    body = "".join(
        _panel(rows, names, GAP + number * (HEIGHT + 2 * GAP)) for number, names in enumerate(panels)
    )
    height = len(panels) * (HEIGHT + 2 * GAP) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
        f'<title>Training curves</title><rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )


def _panel(rows: list[dict[str, float]], names: list[str], top: int) -> str:
    values = [row[name] for row in rows for name in names if math.isfinite(row.get(name, math.nan))]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = (high - low) or 1.0
    first, last = (rows[0]["epoch"], rows[-1]["epoch"]) if rows else (0, 1)
    right = WIDTH - 20
    frame = f'<rect x="{LEFT}" y="{top}" width="{right - LEFT}" height="{HEIGHT}" fill="none" stroke="#bbb"/>'
    text = [
        _text(LEFT - 6, top + 10, f"{high:.4g}", "end"),
        _text(LEFT - 6, top + HEIGHT, f"{low:.4g}", "end"),
        _text(LEFT, top + HEIGHT + 16, f"epoch {first:g}", "start"),
        _text(right, top + HEIGHT + 16, f"{last:g}", "end"),
    ]
    lines = []
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (
                LEFT + (right - LEFT) * (row["epoch"] - first) / ((last - first) or 1),
                top + HEIGHT * (1 - (row[name] - low) / span),
            )
            for row in rows
            if math.isfinite(row.get(name, math.nan))
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(
            f'<polyline data-name="{escape(name)}" points="{path}" fill="none" '
            f'stroke="{colour}" stroke-width="1.6"/>'
        )
        text.append(_text(LEFT + 8 + 120 * number, top - 6, name.replace("_", " "), "start", colour))
    return frame + "".join(lines) + "".join(text)


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#444") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
