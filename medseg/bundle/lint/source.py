"""Reads a config file as a tree; nothing in it is built, evaluated or expanded."""

from __future__ import annotations

from pathlib import Path

from medseg.bundle.lint.json_tree import read_json
from medseg.bundle.lint.tree import Node, Source, SourceError
from medseg.bundle.lint.yaml_tree import read_yaml

MAX_BYTES = 16 * 2**20
MAX_NODES = 100_000


def read_source(path: Path, name: str) -> Source:
    """The tree of a JSON or YAML file; `name` is the path that findings show.

    Raises:
        SourceError: it is unreadable, no mapping, larger than 16 MiB, deeper than 60 levels, or has more than
            100,000 values once YAML's aliases are written out.
    """
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{name} has {path.stat().st_size} bytes, more than {MAX_BYTES}")
    is_json = path.suffix.lower() == ".json"
    try:
        # YAML may begin with a byte order mark; Python's json, which MONAI uses, refuses it
        text = path.read_text(encoding="utf-8" if is_json else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    source = read_json(text, name) if is_json else read_yaml(text, name)
    if not isinstance(source.root.value, dict):
        raise SourceError(f"{name} holds a {type(source.root.value).__name__}, not a mapping", line=1)
    if expanded_size(source.root) > MAX_NODES:
        raise SourceError(
            f"{name} expands to more than {MAX_NODES} values, as a bomb of nested aliases does", line=1
        )
    return source


def expanded_size(node: Node) -> int:
    """How many values a tree holds when each alias is written out; linear in what is really there."""
    sizes: dict[int, int] = {}

    def size(n: Node) -> int:
        if id(n) not in sizes:
            sizes[id(n)] = 1 + sum(size(child) for _, child in n.children())
        return sizes[id(n)]

    return size(node)
