"""Chains of transforms as they will run: references followed, sums of lists joined, nothing built."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.syntax import SEP, placeholders, references
from medseg.bundle.lint.tree import Node

ABSENT = object()
"""What `Part.given` gives for an argument that the config leaves out."""
_DEEPEST = 20
_DICTIONARY = re.compile(r"(d|D|Dict)$")


@dataclass(frozen=True)
class Part:
    """A component where it stands, and the config around it.

    Attributes:
        id: its place in the merged config.
        node: its arguments.
        config: where references are looked up.
    """

    id: str
    node: Node
    config: Config

    @property
    def name(self) -> str:
        """The class without its module and without the ending that marks a dictionary transform."""
        return _DICTIONARY.sub("", class_name(self.node))

    def given(self, key: str) -> Any:
        """The plain value of an argument, `ABSENT`, or `UNKNOWN` where only running tells."""
        return self.config.known(f"{self.id}{SEP}{key}") if key in self.node.value else ABSENT

    def works_on(self) -> list[str]:
        """The keys of a case that it takes, as far as they are known."""
        return texts(self.given("keys"))

    def given_for(self, argument: str, key: str) -> Any:
        """An argument as it holds for one of its keys: a list gives each of them its own."""
        value, keys = self.given(argument), self.works_on()
        if isinstance(value, list) and len(value) == len(keys) and key in keys:
            return value[keys.index(key)]
        return value


@dataclass(frozen=True)
class Chain:
    """Steps in order.

    Attributes:
        steps: what is known of them.
        is_whole: False where some steps are made by an expression that only running would tell.
    """

    steps: tuple[Part, ...]
    is_whole: bool

    def on(self, key: str) -> list[Part]:
        """The steps that work on a key."""
        return [s for s in self.steps if key in s.works_on()]


def class_name(node: Node) -> str:
    """The class of a component without its module; empty where the target is no text."""
    target = node.value["_target_"].value if node.is_component else ""
    return target.rpartition(".")[2] if isinstance(target, str) else ""


def resolved(config: Config, item_id: str) -> str:
    """The id at the end of a row of references; `item_id` itself where it is none."""
    for _ in range(_DEEPEST):
        node = config.items.get(item_id)
        found = references(node.value) if node else []
        if node is None or not isinstance(node.value, str) or node.value[:1] != "@" or not found:
            return item_id
        item_id = found[0]
    return item_id


def chain(config: Config, item_id: str) -> Chain:
    """The steps of a ``Compose``, a list, a sum of lists, or a single transform."""
    steps = list(_steps(config, item_id, 0))
    return Chain(tuple(s for s in steps if s is not None), None not in steps and item_id in config.items)


def _steps(config: Config, item_id: str, depth: int) -> Iterator[Part | None]:
    item_id = resolved(config, item_id)
    node = config.items.get(item_id)
    if node is None or depth > _DEEPEST:
        yield None
    elif node.is_component and class_name(node) == "Compose":
        yield from _steps(config, f"{item_id}{SEP}transforms", depth + 1)
    elif node.is_component:
        if not is_disabled(node):
            yield Part(item_id, node, config)
    elif isinstance(node.value, list):
        for index, _ in node.children():
            yield from _steps(config, f"{item_id}{SEP}{index}", depth + 1)
    else:
        for part in _summands(node.value):
            yield from _steps(config, part, depth + 1) if part else iter([None])


def is_disabled(node: Node) -> bool:
    """True where MONAI leaves a component out."""
    flag = node.value.get("_disabled_")
    return flag is not None and str(flag.value).strip().lower() == "true"


def _summands(value: Any) -> list[str]:
    """The ids of ``$@a + @b``; one empty text where it is anything else."""
    if not isinstance(value, str) or not value.startswith("$"):
        return [""]
    code, names = placeholders(value)
    try:
        parts = _added(ast.parse(code, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [""]
    return [names.get(p.id, "") if isinstance(p, ast.Name) else "" for p in parts]


def _added(tree: ast.expr) -> list[ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*_added(tree.left), *_added(tree.right)]
    return [tree]


def texts(value: Any) -> list[str]:
    """The strings that a value is or holds, such as the keys of a transform."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]


def parts(config: Config, name: str) -> Iterator[Part]:
    """Every component of a class in the config, whichever module it is named by, that is not disabled."""
    for item_id, node in config.walk():
        if node.is_component and class_name(node) == name and not is_disabled(node):
            yield Part(item_id, node, config)


def network_of(config: Config, item_id: str, depth: int = 0) -> str:
    """The id of the network that an item is, wraps or takes its parameters from; empty where unclear."""
    item_id = resolved(config, item_id)
    node = config.items.get(item_id)
    if node is None or depth > _DEEPEST:
        return ""
    if node.is_component:
        inner = next((k for k in ("network", "module", "model") if k in node.value), "")
        if not inner:
            return item_id
        return network_of(config, f"{item_id}{SEP}{inner}", depth + 1)
    first = _first(node.value) if isinstance(node.value, str) else ""
    return network_of(config, first, depth + 1) if first else ""


def _first(text: str) -> str:
    """The id at the head of ``$@a.to(@b)``; empty where a call of something else comes first."""
    code, names = placeholders(text)
    try:
        tree: ast.AST = ast.parse(code, mode="eval").body if text.startswith("$") else ast.Constant(0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    while isinstance(tree, (ast.Call, ast.Attribute)):
        tree = tree.func if isinstance(tree, ast.Call) else tree.value
    return names.get(tree.id, "") if isinstance(tree, ast.Name) else ""


__all__ = [
    "ABSENT",
    "UNKNOWN",
    "Chain",
    "Part",
    "chain",
    "class_name",
    "is_disabled",
    "network_of",
    "parts",
    "resolved",
    "texts",
]
