"""What a label map's numbers mean: structures and regions, matched by name and never by number.

A *structure* is one number of a label map. A *region* is a union of numbers and may overlap another one
(BraTS: whole tumour, tumour core, enhancing tumour). Scoring and reporting treat both alike: a name and
a set of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medseg.errors import LabelError


@dataclass(frozen=True)
class Structure:
    """A name for one or more numbers of a label map.

    Attributes:
        name: in the words of the field, for example ``anterior hippocampus``.
        numbers: the label values whose union it is; one for a structure, several for a region.
        colour: ``#rrggbb``, or empty to let the report choose.
        code: coded concept as ``scheme:value:meaning`` (``SCT:10200004:Liver``), or empty.
    """

    name: str
    numbers: frozenset[int] = field(default_factory=frozenset)
    colour: str = ""
    code: str = ""

    @property
    def is_region(self) -> bool:
        """True where more than one label value belongs to it."""
        return len(self.numbers) > 1


def structures(mapping: Mapping[str, int | Iterable[int]]) -> tuple[Structure, ...]:
    """The structures of a ``{name: number or numbers}`` mapping, in its order; a background is left out.

    Raises:
        LabelError: a name is empty, or a structure has no number.

    >>> [s.name for s in structures({"background": 0, "liver": 1, "lesions": [2, 3]})]
    ['liver', 'lesions']
    """
    found = []
    for name, value in mapping.items():
        numbers = frozenset([value] if isinstance(value, int) else value)
        if not name or not numbers:
            raise LabelError(
                f"structure {name!r} with label values {sorted(numbers)}",
                "a name and at least one value",
                "name every structure and give its number, for example liver=1",
            )
        if not (name.lower() == "background" and numbers == {0}):
            found.append(Structure(name, numbers))
    return tuple(found)
