"""References: each names an id that exists, none runs in a circle, none unfolds into a bomb."""

from __future__ import annotations

from collections.abc import Iterator

from medseg.bundle.lint.config import Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.source import MAX_NODES
from medseg.bundle.lint.syntax import SEP, normal, references
from medseg.bundle.lint.tree import Node

_LOOKED_UP = 100
"""For how many dangling references the nearest name is looked for, which takes time."""


def check_references(config: Config) -> Iterator[Finding]:
    """Dangling and circular references, and ids whose references unfold to more than 100,000 values."""
    n_found = 0
    for item_id, node in config.walk():
        for name in references(node.value):
            if name not in config.items:
                n_found += 1
                near = _near(name, config) if n_found <= _LOOKED_UP else ""
                message = f"@{name} names nothing"
                yield Finding(node.file, node.line, item_id, "dangling-reference", message, near)
    yield from _Unfolded(config).findings()


def dangling(config: Config) -> int:
    """How many references name nothing: tells which base an overlay is meant for."""
    return sum(name not in config.items for _, node in config.walk() for name in references(node.value))


def _near(name: str, config: Config) -> str:
    parts = name.split(SEP)
    for n in range(len(parts) - 1, -1, -1):
        base = SEP.join(parts[:n])
        if n and base not in config.items:
            continue
        node = config.items.get(base, config.root) if n else config.root
        inner = nearest(parts[n], [k for k, _ in node.children() if k != "_meta_"])
        if inner:
            whole = SEP.join([*parts[:n], inner, *parts[n + 1 :]])
            return f"@{whole}" if whole in config.items else f"@{SEP.join([*parts[:n], inner])}"
        break
    close = nearest(name, [i for i, _ in config.walk()])
    return f"@{close}" if close else ""


class _Unfolded:
    """How large each id gets when its references are written out, counted once for each id."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sizes: dict[str, int] = {}
        self.open: set[str] = set()
        self.found: list[Finding] = []

    def findings(self) -> list[Finding]:
        for item_id in [i for i, _ in self.config.root.children() if i != "_meta_"]:
            size = self.size(item_id, 0)
            if size > MAX_NODES:
                self.fault(
                    item_id,
                    "reference-bomb",
                    f"unfolds to {min(size, 10**12)} values, the limit is {MAX_NODES}",
                )
        return self.found

    def fault(self, item_id: str, code: str, message: str) -> None:
        node = self.config.items.get(item_id) or self.config.root
        self.found.append(Finding(node.file, node.line, item_id, code, message))

    def size(self, item_id: str, depth: int) -> int:
        if item_id in self.sizes:
            return self.sizes[item_id]
        if item_id in self.open:
            self.fault(item_id, "circular-reference", f"@{item_id} leads back to itself")
            return 1
        if depth > 200:
            self.fault(item_id, "reference-bomb", "references are nested more than 200 deep")
            return 1
        self.open.add(item_id)
        node = self.config.items.get(item_id)
        self.sizes[item_id] = self.of(item_id, node, depth) if node else 1
        self.open.discard(item_id)
        return self.sizes[item_id]

    def of(self, item_id: str, node: Node, depth: int) -> int:
        inner = [f"{item_id}{SEP}{key}" for key, _ in node.children()]
        return 1 + sum(self.size(i, depth + 1) for i in [*inner, *references(node.value)])


def used_ids(config: Config) -> set[str]:
    """Every id that something refers to, with the ids above it."""
    used: set[str] = set()
    for _, node in config.walk():
        for name in references(node.value):
            parts = normal(name).split(SEP)
            used |= {SEP.join(parts[:n]) for n in range(1, len(parts) + 1)}
    return used
