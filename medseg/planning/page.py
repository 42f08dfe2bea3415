"""The fingerprint as a JSON file and as one HTML page that needs nothing but itself."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medseg.errors import OutputError
from medseg.planning.fingerprint import Fingerprint

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;
background:#fff}h1{margin:0}h2{margin:1.5em 0 .3em}figure{display:inline-block;margin:.4em;vertical-align:top}
figcaption{font-size:12px;color:#555}img{background:#000;image-rendering:pixelated}table{border-collapse:collapse}
td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}
rect{fill:#4477aa}text{font:11px system-ui,sans-serif;fill:#555}"""


def write_fingerprint(
    found: Fingerprint, folder: str | os.PathLike[str], overwrite: bool = False
) -> tuple[Path, Path]:
    """The paths of ``fingerprint.json`` and ``fingerprint.html``, now written.

    Raises:
        OutputError: one of them is there and `overwrite` is off, or the folder cannot be written.
    """
    root = Path(folder)
    paths = root / "fingerprint.json", root / "fingerprint.html"
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists", "an empty folder", "choose another, or say --overwrite")
    texts = json.dumps(found.as_dict(), indent=1, ensure_ascii=False) + "\n", "\n".join(_page(found)) + "\n"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts, strict=True):
            partial = path.with_name(f".{path.name}.part")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write in {root}: {error.strerror}", "a folder", "choose another"
        ) from error
    return paths


def _page(found: Fingerprint) -> Iterator[str]:
    s = found.summary
    title = html.escape(f"Fingerprint of {s['name']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
    facts = f"{s['n_cases']} cases of {s['n_patients']} patients, {s['n_labelled']} with a label map"
    yield f"<p>{html.escape(s['description'])}</p><p>{facts}; the test split is left out.</p>"
    yield "<h2>Structures</h2>" + _structures(s["structures"])
    yield "<h2>Cost</h2>" + _cost(s["cost"])
    yield "<h2>Grids</h2>"
    for axis in range(s["dimensions"]):
        for key, unit in (("shape", "voxels"), ("spacing_mm", "mm")):
            values = [c[key][axis] for c in found.cases if len(c[key]) > axis]
            yield _histogram(values, f"{key.split('_')[0]}, axis {axis}", unit)
    yield "<h2>Intensities</h2>"
    for number, channel in enumerate(s["channels"]):
        rows = [c["intensity"][number] for c in found.cases if c["n_channels"] > number]
        inside = [c["foreground"][number] for c in found.cases if c["n_channels"] > number]
        for quantile, known, where in (
            *(("50", rows, "the image"), ("99", rows, "the image")),
            ("50", inside, "all structures"),
        ):
            values = [r[quantile] for r in known if quantile in r]
            yield _histogram(values, f"{channel['name']}, {quantile}th per cent of {where}", "")
    yield "<h2>Volumes</h2>"
    for structure in s["structures"]:
        key = str(structure["number"])
        values = [c["structures"][key]["volume_mm3"] for c in found.cases if key in c["structures"]]
        yield _histogram(values, structure["name"], "mm3" if s["has_grid"] else "pixels")
    yield "<h2>Middle slices</h2>"
    for case, picture in found.mosaic:
        name = html.escape(case)
        image = f'<img alt="middle slice of {name}" src="data:image/png;base64,{picture}">'
        yield f"<figure>{image}<figcaption>{name}</figcaption></figure>"
    yield "</body></html>"


def _structures(structures: Sequence[dict[str, Any]]) -> str:
    head = "<table><tr><th>structure</th><th>number</th><th>cases</th><th>share of voxels</th>"
    rows = [head + "<th>median mm3</th><th>median parts</th></tr>"]
    for s in structures:
        volume, parts = s["volume_mm3"].get("50", 0), s["components"].get("50", 0)
        cells = [html.escape(s["name"]), s["number"], s["n_cases"], f"{s['voxel_share']:.3%}", volume, parts]
        rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    return "".join(rows) + "</table>"


def _cost(cost: dict[str, Any]) -> str:
    disk, memory = cost["disk_bytes"] / 1e6, cost["memory_bytes"] / 1e6
    spacing = " x ".join(f"{v:g}" for v in cost["median_spacing_mm"])
    windows = cost["windows_per_case"].get("50", 0)
    return (
        f"<p>{disk:.1f} MB on disk, {memory:.1f} MB in memory as float32; median spacing {spacing}; "
        f"{windows:g} windows for the median case.</p>"
    )


def _histogram(values: Sequence[float], title: str, unit: str, n_bins: int = 20) -> str:
    """An SVG histogram with its range written under it."""
    if not values:
        return ""
    counts, edges = np.histogram(values, bins=n_bins)
    height = 80 / max(1, counts.max())
    bars = "".join(
        f'<rect x="{10 * n}" y="{80 - c * height:.1f}" width="9" height="{c * height:.1f}"/>'
        for n, c in enumerate(counts)
    )
    low = f'<text x="0" y="94">{edges[0]:.4g}</text>'
    high = f'<text x="200" y="94" text-anchor="end">{edges[-1]:.4g} {unit}</text>'
    label = html.escape(title)
    picture = f'<svg width="200" height="98" role="img" aria-label="{label}">{bars}{low}{high}</svg>'
    return f"<figure>{picture}<figcaption>{label}</figcaption></figure>"
