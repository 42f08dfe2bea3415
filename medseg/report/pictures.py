"""The worst cases as cards: a slice, its outlines, an arrow and axes in mm, ready for the template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from medseg.report.outlines import data_address, outline
from medseg.report.scores import Scores
from medseg.report.slices import Scan, Slice, worst_slice
from medseg.report.volumes import Volume

_FRAME = 0.1
"""Room for the axes, as a share of the larger side."""


@dataclass(frozen=True)
class Mark:
    """A word or a number beside a picture."""

    x: float
    y: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Card:
    """One case of one structure as it is drawn; lengths in mm.

    Attributes:
        volume: number of its volumes in the viewer, -1 where it has none.
        structure: number of the structure.
        caption: scores and slice in words; ``label`` the same for a screen reader.
        is_across: whether the arrow leaves the slice.
    """

    case: str
    structure: int
    caption: str
    label: str
    width: float
    height: float
    view_box: str
    image: str
    reference: str
    prediction: str
    arrow: str
    is_across: bool
    rulers: str
    marks: tuple[Mark, ...]
    font: float
    volume: int


@dataclass(frozen=True)
class Pictures:
    """All cards, by structure, and what the viewer shows.

    Attributes:
        cards: (structure, its cards) from worst to better.
        volumes: of the viewer; a card names its own by number.
        orientation: how the pictures are hung, in words.
    """

    cards: tuple[tuple[str, tuple[Card, ...]], ...] = ()
    volumes: tuple[Volume, ...] = ()
    orientation: str = ""
    notes: tuple[str, ...] = field(default=())


def worst_cases(scores: Scores, structure: str, n: int) -> list[int]:
    """Numbers of the cases with the lowest Dice, a tie broken by the larger HD95; only those with a Dice."""
    dice, distance = scores.column(structure, "dice"), scores.column(structure, "hd95_mm")
    known = [number for number in range(len(scores.cases)) if not math.isnan(dice[number])]

    def badness(number: int) -> tuple[float, float]:
        return float(dice[number]), -(0.0 if math.isnan(distance[number]) else float(distance[number]))

    return sorted(known, key=badness)[:n]


def card(
    scan: Scan, names: tuple[str, str], structure: int, told: Sequence[str], *, volume: int = -1
) -> Card:
    """The card of a case.

    Args:
        scan: its picture and masks.
        names: of the case and of the structure.
        structure: its number in the report.
        told: facts for the caption, for example ``Dice 0.71``.
        volume: its number in the viewer.
    """
    shown = worst_slice(scan)
    unit = "mm" if scan.has_units else "px"
    height, width = (n * size for n, size in zip(shown.reference.shape, shown.pixel_mm, strict=True))
    room = _FRAME * max(height, width)
    caption = ", ".join([*told, *_facts(shown, unit)])
    return Card(
        case=names[0],
        structure=structure,
        caption=caption,
        label=f"{names[1]} in case {names[0]}: {caption}. Reference and prediction drawn as outlines.",
        width=width,
        height=height,
        view_box=f"{-room:.5g} {-room * 0.25:.5g} {width + 1.25 * room:.5g} {height + 1.25 * room:.5g}",
        image=data_address(shown.image),
        reference=outline(shown.reference, shown.pixel_mm),
        prediction=outline(shown.prediction, shown.pixel_mm),
        arrow=_arrow(shown, room),
        is_across=shown.is_across,
        rulers=_rulers(width, height, room),
        marks=(*_ruler_marks(width, height, room, unit), *_side_marks(shown, width, height, room)),
        font=room * 0.38,
        volume=volume,
    )


def _facts(shown: Slice, unit: str) -> list[str]:
    empty = [
        n for n, mask in (("reference", shown.reference), ("prediction", shown.prediction)) if not mask.any()
    ]
    facts = [shown.where] if shown.where else []
    if shown.arrow is not None:
        facts.append(f"arrow: largest distance {shown.arrow_mm:.1f} {unit}{_ends(shown)}")
    return facts + [f"no {name} in this plane" for name in empty]


def _ends(shown: Slice) -> str:
    """Between which slices the arrow runs, in words."""
    if not shown.arrow_slices:
        return ""
    one, other = shown.arrow_slices
    if not shown.is_across:
        return " of the volume, in this slice"
    return (
        f" of the volume, in slice {one}" if one == other else f" of the volume, from slice {one} to {other}"
    )


def _arrow(shown: Slice, room: float) -> str:
    """From the point furthest off to the nearest point of the other outline, with a head of two strokes.

    A ring where it runs straight through the slice.
    """
    if shown.arrow is None:
        return ""
    height, width = shown.pixel_mm
    (y0, x0), (y1, x1) = (((row + 0.5) * height, (column + 0.5) * width) for row, column in shown.arrow)
    if (x0, y0) == (x1, y1):
        radius = 0.2 * room
        half = f"a{radius:.5g} {radius:.5g} 0 1 0 "
        return f"M{x0 - radius:.5g} {y0:.5g}{half}{2 * radius:.5g} 0{half}{-2 * radius:.5g} 0"
    angle = math.atan2(y1 - y0, x1 - x0)
    size = min(0.35 * room, 0.5 * math.hypot(y1 - y0, x1 - x0))
    wings = [(x1 - size * math.cos(angle + turn), y1 - size * math.sin(angle + turn)) for turn in (0.5, -0.5)]
    head = f"M{wings[0][0]:.5g} {wings[0][1]:.5g}L{x1:.5g} {y1:.5g}L{wings[1][0]:.5g} {wings[1][1]:.5g}"
    return f"M{x0:.5g} {y0:.5g}L{x1:.5g} {y1:.5g}{head}"


def _steps(length: float) -> list[float]:
    """Round marks along an axis, about four."""
    rough = length / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(m * power for m in (1.0, 2.0, 5.0) if m * power <= rough * (1 + 1e-9))
    return [step * number for number in range(math.floor(length / step + 1e-9) + 1)]


def _rulers(width: float, height: float, room: float) -> str:
    tick = 0.15 * room
    across = "".join(f"M{x:.5g} {height:.5g}v{tick:.4g}" for x in _steps(width))
    return across + "".join(f"M0 {y:.5g}h{-tick:.4g}" for y in _steps(height))


def _ruler_marks(width: float, height: float, room: float, unit: str) -> list[Mark]:
    """Numbers along both axes, without those that would touch, and the unit where the vertical one begins."""
    across, down = _steps(width), _steps(height)
    every = max(1, math.ceil(room / across[1])) if len(across) > 1 else 1
    marks = [Mark(x, height + 0.62 * room, f"{x:g}") for x in across[::every]]
    marks += [Mark(-0.2 * room, y + 0.13 * room, f"{y:g}", "end") for y in down[1:]]
    return [*marks, Mark(-0.2 * room, 0.25 * room, unit, "end")]


def _side_marks(shown: Slice, width: float, height: float, room: float) -> list[Mark]:
    left, right, top, bottom = shown.sides
    inset = 0.35 * room
    marks = [
        Mark(inset, height / 2, left),
        Mark(width - inset, height / 2, right),
        Mark(width / 2, 1.5 * inset, top),
        Mark(width / 2, height - 0.5 * inset, bottom),
    ]
    return [mark for mark in marks if mark.text]
