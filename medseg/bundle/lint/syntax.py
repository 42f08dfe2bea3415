"""MONAI's way of writing in a config: ids, references to them, and expressions of them."""

from __future__ import annotations

import re

SEP = "::"
REFERENCE = re.compile(r"@(?:\w*)(?:::\w*)*")


def normal(text: str) -> str:
    """An id or value with MONAI's old separator ``#`` written as ``::``."""
    return text.replace("#", SEP)


def references(value: object) -> list[str]:
    """The ids that a value refers to: all of an expression's, or the one that a whole string is."""
    if not isinstance(value, str):
        return []
    text = normal(value)
    if text.startswith("$"):
        return [m[1:] for m in REFERENCE.findall(text) if m != "@"]
    return [text[1:]] if len(text) > 1 and REFERENCE.fullmatch(text) else []


def placeholders(text: str) -> tuple[str, dict[str, str]]:
    """An expression without its ``$``, each reference replaced by a name; and the id of each name.

    >>> placeholders("$len(@labels) + @net#extra")
    ('len(_ref0_) + _ref1_', {'_ref0_': 'labels', '_ref1_': 'net::extra'})
    """
    names: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match[0] == "@":
            return "@"
        names[f"_ref{len(names)}_"] = match[0][1:]
        return f"_ref{len(names) - 1}_"

    return REFERENCE.sub(replace, normal(text).removeprefix("$").strip()), names
