"""Keeping patients' names out of what is written and said."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Shorter parts of a name would blot out half of every sentence.
SHORTEST = 3


def secret_words(identity: Sequence[str]) -> tuple[str, ...]:
    """The words of a patient's name, number and birth date, longest first."""
    words = {word for text in identity for word in re.split(r"[\s^=,;/\\_]+", text) if len(word) >= SHORTEST}
    return tuple(
        sorted(words | {text for text in identity if len(text) >= SHORTEST}, key=lambda w: (-len(w), w))
    )


def redacted(text: str, identity: Sequence[str]) -> str:
    """The text with every word of an identity replaced.

    >>> redacted("cannot read /pacs/DOE_JANE/1.dcm", ["Doe^Jane"])
    'cannot read /pacs/***_***/1.dcm'
    """
    for word in secret_words(identity):
        text = re.sub(re.escape(word), "***", text, flags=re.IGNORECASE)
    return text


def without_names(parts: Sequence[str], identity: Sequence[str], mark: str) -> tuple[str, ...]:
    """The parts of a path, those that hold a word of the identity replaced by the series' mark."""
    return tuple(part if redacted(part, identity) == part else f"series_{mark}" for part in parts)
