"""Keeping patients' names out of what is written and said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Words of two letters (Li, Ng) are hidden where they stand alone: inside others they are everywhere.
SHORTEST = 3
CUT = " …"
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"})
_PLAIN = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "đ": "d", "ð": "d", "þ": "th"})


def secret_words(identity: Sequence[str]) -> tuple[str, ...]:
    """The words of a patient's name, number and birth date in the ways they are spelt, longest first.

    Without accents, for text is compared without them; umlauts also spelt out; dates in four orders.

    >>> secret_words(["Müller^Li"])
    ('mueller^li', 'muller^li', 'mueller', 'muller', 'li')
    """
    words: set[str] = set()
    for text in identity:
        words.add(text)
        words.update(re.split(r"[\s^=,;/\\_.]+", text))
        if re.fullmatch(r"\d{8}", text):
            year, month, day = text[:4], text[4:6], text[6:]
            words |= {f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{day}-{month}-{year}"}
            words |= {f"{year}_{month}_{day}", f"{day}{month}{year}"}
    words |= {word.lower().translate(_SPELT_OUT) for word in words}
    plain = {_without_accents(word.lower().translate(_PLAIN)) for word in words}
    kept = {word for word in plain if len(word) >= SHORTEST or (len(word) == 2 and not word.isdigit())}
    return tuple(sorted(kept, key=lambda word: (-len(word), word)))


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def redacted(text: str, identity: Sequence[str]) -> str:
    """The text with every word of an identity replaced, also where accents are missing or spelt out.

    >>> redacted("cannot read /pacs/DOE_JANE/1.dcm", ["Doe^Jane"])
    'cannot read /pacs/***_***/1.dcm'
    """
    parted = unicodedata.normalize("NFD", text)
    for word in secret_words(identity):
        letters = "".join(_spellings(c) + r"[\u0300-\u036f]*" for c in word)
        pattern = rf"(?<![^\W_]){letters}(?![^\W_])" if len(word) < SHORTEST else letters
        parted = re.sub(pattern, "***", parted, flags=re.IGNORECASE)
    return unicodedata.normalize("NFC", parted) if "***" in parted else text


def _spellings(letter: str) -> str:
    """A pattern for a letter, as it is found in text that is parted from its accents."""
    strokes = {"l": "[lł]", "o": "[oø]", "d": "[dđð]"}
    return strokes.get(letter, re.escape(letter))


def without_parts(text: str, parts: Sequence[str]) -> str:
    """The text with these parts replaced where they stand alone, also as Python spells odd letters.

    >>> without_parts("no doe_jane.img in /pacs/doe_jane; 12 doers", ["/pacs/doe_jane", "doe_jane"])
    'no ***.img in ***; 12 doers'
    """
    if not parts:
        return text
    forms = {form for part in parts for form in (part, repr(part)[1:-1], ascii(part)[1:-1])}
    forms |= {unicodedata.normalize(kind, part) for part in parts for kind in ("NFC", "NFD")}
    either = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    # A long text may have been cut in the middle of one.
    begun, cut, rest = text.partition(CUT)
    left = [n for form in forms for n in range(2, len(form)) if begun.lower().endswith(form[:n].lower())]
    if cut and left:
        text = f"{begun[: -max(left)]}***{cut}{rest}"
    return re.sub(rf"(?<![^\W_])(?:{either})(?![^\W_])", "***", text, flags=re.IGNORECASE)


def is_name(part: str) -> bool:
    """True where part of a path is spelt as DICOM spells a name: ``DOE^JANE`` (PS3.5 6.2.1)."""
    return "^" in part


def without_names(parts: Sequence[str], identity: Sequence[str], mark: str) -> tuple[str, ...]:
    """The parts of a path, those that hold a word of the identity, or a name, replaced by a mark."""
    return tuple(
        f"series_{mark}" if is_name(part) or redacted(part, identity) != part else part for part in parts
    )
