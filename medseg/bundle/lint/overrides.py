"""Overrides from the command line: each must name something in the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medseg.bundle.lint.config import Config
from medseg.bundle.lint.finding import nearest
from medseg.bundle.lint.packages import Definition, Packages
from medseg.bundle.lint.signature import signature
from medseg.bundle.lint.syntax import SEP, normal
from medseg.bundle.lint.targets import SPECIAL
from medseg.errors import OverrideError

OPTIONAL = ("initialize", "finalize", "_meta_")
"""Ids that MONAI reads and a config may leave out."""


def check_overrides(config: Config, ids: Iterable[str]) -> None:
    """Return where every id exists in the merged config, or is an argument that its component takes.

    Args:
        config: from ``Bundle(folder).config("train")`` or ``.merged(files)``.
        ids: as typed, with ``#`` or ``::`` between levels and without ``--``.

    Raises:
        OverrideError: some do not; the message names each of them with the nearest id that exists.
    """
    unknown = {i: nearest_override(config, i) for i in ids if not is_known(config, i)}
    if unknown:
        told = [f"--{i}" + (f" (nearest: --{near})" if near else "") for i, near in unknown.items()]
        first = next(iter(unknown.values()))
        raise OverrideError(
            f"no such id in {config.name}: {', '.join(told)}",
            "an id of the config, levels joined by #",
            f"write --{first}" if first else "list the ids in configs/",
        )


def check_kinds(config: Config, overrides: Mapping[str, Any]) -> None:
    """Return where no text takes the place of a number, or of true and false.

    Raises:
        OverrideError: one does.
    """
    for item_id, value in overrides.items():
        known = config.known(item_id)
        if isinstance(known, (int, float)) and isinstance(value, str) and value[:1] not in ("$", "@", "%"):
            kind = "true or false" if isinstance(known, bool) else "a number"
            raise OverrideError(
                f"--{item_id} {value!r}", f"{kind}; {config.name} has {known}", "correct the value"
            )


def is_known(config: Config, item_id: str) -> bool:
    """True where an override of `item_id` would change something."""
    item_id = normal(item_id)
    if item_id in config.items or item_id in OPTIONAL:
        return True
    parent, _, last = item_id.rpartition(SEP)
    taken = _arguments(config, parent)
    return taken is not None and (last in SPECIAL or taken == () or last in taken)


def nearest_override(config: Config, item_id: str) -> str:
    """The id most like a mistyped one, levels joined by ``#``; empty where none is."""
    item_id = normal(item_id.replace(".", SEP))
    if item_id in config.items:
        return item_id.replace(SEP, "#")
    parent, _, last = item_id.rpartition(SEP)
    node = config.items.get(parent) if parent else config.root
    if parent and node is not None:
        names = [k for k, _ in node.children()] + list(_arguments(config, parent) or ())
        near = nearest(last, names)
        return f"{parent}{SEP}{near}".replace(SEP, "#") if near else ""
    top = nearest(item_id, [k for k, _ in config.root.children() if k != "_meta_"])
    return (top or nearest(item_id, [i for i, _ in config.walk()])).replace(SEP, "#")


def _arguments(config: Config, item_id: str) -> tuple[str, ...] | None:
    """The arguments of the component at an id, none where it takes any; None where it is no component."""
    node = config.items.get(item_id)
    if node is None or not node.is_component or not isinstance(node.value["_target_"].value, str):
        return None
    packages = Packages(config.root_dir)
    found = packages.locate(node.value["_target_"].value)
    if not isinstance(found, Definition):
        return None
    taken = signature(found, packages)
    return () if taken.is_open else taken.names
