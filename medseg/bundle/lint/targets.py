"""Components: each ``_target_`` exists and takes the arguments that the config gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medseg.bundle.lint.chain import is_disabled
from medseg.bundle.lint.config import Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.packages import Definition, Missing, Packages
from medseg.bundle.lint.signature import Signature, signature
from medseg.bundle.lint.tree import Node
from medseg.bundle.lint.values import check_types

SPECIAL = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")
MODES = ("default", "callable", "partial", "debug")
_SPECIAL_LIKE = re.compile(r"_+\w+_+")


def check_targets(config: Config, packages: Packages) -> Iterator[Finding]:
    """Unknown targets, unknown and missing arguments, misspelt special keys."""
    for item_id, node in config.walk():
        if isinstance(node.value, dict):
            yield from _special_keys(item_id, node)
        if node.is_component:
            yield from _component(item_id, node, config, packages)


def _special_keys(item_id: str, node: Node) -> Iterator[Finding]:
    for key, child in node.children():
        if (
            key not in SPECIAL
            and _SPECIAL_LIKE.fullmatch(key)
            and not key.startswith("__")
            and (near := nearest(key, SPECIAL))
        ):
            yield Finding(
                child.file, child.line, item_id, "unknown-key", f"{key} is no key that MONAI knows", near
            )
    mode = node.value.get("_mode_")
    if mode is not None and node.is_component and mode.value not in MODES:
        near = nearest(str(mode.value), MODES)
        yield Finding(
            mode.file, mode.line, item_id, "unknown-key", f"_mode_ is {mode.value!r}, one of {MODES}", near
        )


def _component(item_id: str, node: Node, config: Config, packages: Packages) -> Iterator[Finding]:
    target = node.value["_target_"]
    if not isinstance(target.value, str):
        yield Finding(
            target.file, target.line, item_id, "unknown-target", f"_target_ is {target.value!r}, not a name"
        )
        return
    if target.value.startswith(("$", "@", "%")):
        return
    found = packages.locate(target.value)
    if isinstance(found, Missing):
        listed = found.why.startswith("no package") and found.package in _required_packages(config)
        note = "; it is in required_packages_version, so install it" if listed else ""
        yield Finding(
            target.file,
            target.line,
            item_id,
            "unknown-target",
            f"{target.value}: {found.why}{note}",
            found.nearest,
            "warning" if listed else "error",
        )
    elif found.kind == "module":
        yield Finding(
            target.file, target.line, item_id, "unknown-target", f"{target.value} is a module, not a class"
        )
    else:
        taken = signature(found, packages)
        yield from _arguments(item_id, node, found, taken)
        given = {k: n for k, n in node.children() if not _SPECIAL_LIKE.fullmatch(k)}
        yield from check_types(item_id, given, taken, config, found.name)


def _required_packages(config: Config) -> set[str]:
    node = config.get("_meta_::required_packages_version") or config.get("_meta_::optional_packages_version")
    return {name.replace("-", "_") for name, _ in node.children()} if node else set()


def _arguments(item_id: str, node: Node, found: Definition, taken: Signature) -> Iterator[Finding]:
    name = found.name
    given = {key: child for key, child in node.children() if not _SPECIAL_LIKE.fullmatch(key)}
    for key, child in given.items():
        if not taken.is_open and key not in taken.names:
            yield Finding(
                child.file,
                child.line,
                f"{item_id}::{key}",
                "unknown-argument",
                f"{name} takes no {key}; it takes {', '.join(taken.names) or 'none'}",
                nearest(key, set(taken.names) - set(given)),
            )
    mode = node.value.get("_mode_")
    if (mode is not None and mode.value in ("callable", "partial")) or is_disabled(node):
        return
    for key in sorted(taken.required - set(given), key=taken.names.index):
        unknown = [g for g in given if g not in taken.names]
        if not nearest(key, unknown):  # else the misspelt one is reported already
            message = f"{name} needs {key}; it takes {', '.join(taken.names)}"
            yield Finding(node.file, node.value["_target_"].line, item_id, "missing-argument", message)
