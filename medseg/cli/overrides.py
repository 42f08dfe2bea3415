"""Overrides of a bundle's config on the command line: ``--max_epochs 1 --train#dataloader#num_workers=2``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medseg.errors import OverrideError

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""What a command needs so that typer leaves the overrides alone."""
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Id to value, each value read as YAML: ``1`` is a number, ``[1, 2]`` a list, ``$@a`` a string.

    Raises:
        OverrideError: an argument that is no ``--id value`` pair.

    >>> parse_overrides(["--max_epochs", "1", "--roi_size=[8, 8, 8]", "--learning_rate", "1e-4"])
    {'max_epochs': 1, 'roi_size': [8, 8, 8], 'learning_rate': 0.0001}
    """
    import yaml

    found: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name or (not equals and not rest):
            raise OverrideError(f"argument {word!r}", "--id value", "write for example --max_epochs 1")
        text = text if equals else rest.pop(0)
        try:
            found[name] = _numbers(yaml.safe_load(text))
        except yaml.YAMLError:
            found[name] = text
    return found


def _numbers(value: Any) -> Any:
    """The value with ``1e-4`` as a number, which YAML 1.1 takes for a text where it has no point."""
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
