"""Coded concepts and colours of structures for DICOM: SNOMED CT where a code is given or the name has one."""

from __future__ import annotations

import colorsys
from typing import Any

from medseg.errors import LabelError
from medseg.labels import Structure

# PS3.16 CID 7150, segmentation property categories.
ANATOMY = ("123037004", "SCT", "Anatomical Structure")
ABNORMAL = ("49755003", "SCT", "Morphologically Abnormal Structure")
# PS3.16 CID 7166: what is said of a structure whose name has no code.
UNKNOWN = ("91723000", "SCT", "Anatomical structure")
UNKNOWN_ABNORMAL = ("52988006", "SCT", "Lesion")
ABNORMAL_WORDS = ("tumor", "tumour", "lesion", "cancer", "metasta", "nodule", "cyst", "edema", "oedema")
# Names that the dictionary knows under another word.
NAMES = {
    "tumor": ("108369006", "SCT", "Neoplasm"),
    "tumour": ("108369006", "SCT", "Neoplasm"),
    "cancer": ("108369006", "SCT", "Neoplasm"),
}
SIDES = ("left ", "right ")


def code_of(structure: Structure) -> Any:
    """What the structure is, as a CodedConcept: its own code, else that of its name, else a general one.

    Raises:
        LabelError: ``code`` is not ``scheme:value:meaning``.
    """
    import highdicom as hd

    if structure.code:
        parts = structure.code.split(":", 2)
        if len(parts) != 3 or not all(parts):
            raise LabelError(
                f"code {structure.code!r} of {structure.name}",
                "scheme:value:meaning",
                "say SCT:10200004:Liver",
            )
        return hd.sr.CodedConcept(parts[1], parts[0], parts[2])
    name = _plain(structure.name)
    found = NAMES.get(name) or _in_dictionary(name)
    return hd.sr.CodedConcept(*(found or (UNKNOWN_ABNORMAL if is_abnormal(structure) else UNKNOWN)))


def category_of(structure: Structure) -> Any:
    """Anatomical, or morphologically abnormal where the name speaks of a lesion."""
    import highdicom as hd

    return hd.sr.CodedConcept(*(ABNORMAL if is_abnormal(structure) else ANATOMY))


def is_abnormal(structure: Structure) -> bool:
    """True where the name or the code's meaning speaks of a tumour or another lesion."""
    text = f"{structure.name} {structure.code}".lower()
    return any(word in text for word in ABNORMAL_WORDS)


def colour_of(structure: Structure, index: int) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255: the structure's own, else one far from its neighbours'."""
    if len(structure.colour) == 7 and structure.colour.startswith("#"):
        return int(structure.colour[1:3], 16), int(structure.colour[3:5], 16), int(structure.colour[5:7], 16)
    # Steps of the golden ratio around the circle of hues never come close to each other soon.
    red, green, blue = colorsys.hsv_to_rgb((0.02 + 0.618034 * index) % 1, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _in_dictionary(name: str) -> tuple[str, str, str] | None:
    """pydicom's copy of the SNOMED CT concepts that DICOM names, by exactly this name without its side."""
    from pydicom.sr.codedict import codes

    for side in SIDES:
        name = name.removeprefix(side)
    keyword = "".join(word.capitalize() for word in name.split())
    if keyword not in codes.SCT.dir(keyword):
        return None
    code = getattr(codes.SCT, keyword)
    return code.value, code.scheme_designator, code.meaning
