"""The versions in metadata.json: the bundle's own, its changelog, and what it needs against what is here."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator

from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.tree import Node

_VERSION = re.compile(r"\d+\.\d+(\.\d+)*([.-]?(a|b|rc|dev|post)\d*|\+[\w.]+)*")
_INSTALLED = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


def check_versions(meta: Node) -> Iterator[Finding]:
    """Everything that is wrong with the versions in this tree of a metadata.json."""
    yield from _numbered(meta)
    yield from _packages(meta)
    yield from _changelog(meta)


def _fault(
    node: Node, item_id: str, code: str, message: str, near: str = "", severity: str = "error"
) -> Finding:
    return Finding(node.file, node.line, item_id, code, message, near, severity)


def _numbered(meta: Node) -> Iterator[Finding]:
    for key in ("version", *_INSTALLED):
        node = meta.value.get(key)
        if node is None or not isinstance(node.value, str):
            continue
        if not _VERSION.fullmatch(node.value):
            yield _fault(node, key, "version", f"{key} {node.value!r} is no version such as 1.2.3")
        elif key in _INSTALLED:
            yield from _newer(key, node)


def _newer(key: str, node: Node) -> Iterator[Finding]:
    installed = importlib.metadata.version(_INSTALLED[key])
    digits = 2 if key == "monai_version" else 1
    if _numbers(node.value)[:digits] > _numbers(installed)[:digits]:
        message = f"{key} is {node.value}, newer than the installed {installed}"
        yield _fault(node, key, "version", message)


def _packages(meta: Node) -> Iterator[Finding]:
    """Packages that the bundle needs and that are not here, or are older here."""
    listed = meta.value.get("required_packages_version")
    for name, node in listed.children() if listed is not None else ():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            message, near = f"{name} is not installed", ""
        else:
            wanted = str(node.value)
            if not _VERSION.fullmatch(wanted) or _numbers(wanted)[:2] <= _numbers(installed)[:2]:
                continue
            message, near = f"{name} is {wanted}, newer than the installed {installed}", installed
        item_id = f"required_packages_version::{name}"
        yield _fault(node, item_id, "package", message, near, "warning")


def _changelog(meta: Node) -> Iterator[Finding]:
    version, log = meta.value.get("version"), meta.value.get("changelog")
    if log is None:
        yield _fault(meta, "changelog", "changelog", "changelog is missing")
    elif isinstance(log.value, dict) and version is not None and isinstance(version.value, str):
        if version.value not in log.value:
            message = f"version {version.value} has no entry in changelog"
            yield _fault(version, "version", "changelog", message, nearest(version.value, log.value))
        newer = [v for v in log.value if _VERSION.fullmatch(v) and _numbers(v) > _numbers(version.value)]
        if newer and version.value in log.value:
            message = f"version is {version.value} but changelog has the newer {max(newer, key=_numbers)}"
            yield _fault(version, "version", "changelog", message)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0])[:4])
