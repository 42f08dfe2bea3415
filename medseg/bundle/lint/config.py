"""What MONAI would see after merging config files: every id with its node, nothing evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.source import MAX_NODES, read_source
from medseg.bundle.lint.syntax import SEP, normal, placeholders, references
from medseg.bundle.lint.tree import MAX_DEPTH, Node, SourceError

SUFFIXES = (".json", ".yaml", ".yml")
UNKNOWN = object()
"""What `Config.known` gives for a value that only running the config would tell."""
_RELATIVE = re.compile(r"[@%]:{2,}")
_FILE_MACRO = re.compile(r"(?P<path>.*\.(?:json|yaml|yml))(?:::(?P<id>.*))?$", re.IGNORECASE)


class Config:
    """Config files merged in order, as MONAI's `load_config_files` merges them.

    Attributes:
        name: the files' stems joined by ``+``.
        root: the merged tree; metadata.json stands under ``_meta_``.
        items: id to node, macros replaced, relative ids made absolute in `absolute`.
        findings: what was wrong in merging.
    """

    def __init__(self, root_dir: Path, files: Sequence[Path], sources: dict[Path, Node], meta: Node) -> None:
        self.root_dir, self.files = root_dir, tuple(files)
        self.name = "+".join(f.stem for f in files)
        self.findings: list[Finding] = []
        self.root = Node({"_meta_": meta}, 1, sources[files[-1]].file)
        for file in files:
            for key, node in sources[file].children():
                self._merge(key, node)
        self.items: dict[str, Node] = {}
        self._expand("", self.root, ())
        self._walked = [(i, n) for i, n in self.items.items() if i and i.split(SEP, 1)[0] != "_meta_"]

    def get(self, item_id: str, start: Node | None = None) -> Node | None:
        """The node of an id in the merged tree, or None."""
        node = start or self.root
        for part in normal(item_id).split(SEP) if item_id else []:
            child = node.child(part)
            if child is None:
                return None
            node = child
        return node

    def fault(
        self, node: Node, item_id: str, code: str, message: str, near: str = "", severity: str = "error"
    ) -> None:
        """Note a finding at a node."""
        self.findings.append(Finding(node.file, node.line, item_id, code, message, near, severity))

    def _merge(self, key: str, node: Node) -> None:
        extend, key = key.startswith("+"), normal(key.removeprefix("+"))
        if key.split(SEP)[0] == "_meta_":
            # MONAI keeps metadata.json there, and evaluates what stands in it.
            self.fault(node, key, "unknown-id", "_meta_ is metadata.json's place; a config may not set it")
            return
        if key.count(SEP) > MAX_DEPTH:
            self.fault(node, f"{key[:60]}…", "unknown-id", f"an id of more than {MAX_DEPTH} levels")
            return
        if SEP in key and "" in key.split(SEP):
            self.fault(node, key, "unknown-id", f"the id {key!r} has an empty name in it")
            return
        parent_id, _, last = key.rpartition(SEP)
        parent = self.get(parent_id)
        if parent is None or not isinstance(parent.value, (dict, list)):
            near = nearest(key, self._ids_beside(parent_id))
            self.fault(node, key, "unknown-id", f"there is no item {parent_id} to set {last} in", near)
            return
        old = self.get(key)
        value = node.value
        if extend and old is not None and type(old.value) is type(value) and isinstance(value, (dict, list)):
            value = old.value | value if isinstance(value, dict) else old.value + value
        if isinstance(parent.value, list) and not (last.isdigit() and int(last) < len(parent.value)):
            self.fault(node, key, "unknown-id", f"the list has {len(parent.value)} items and no item {last}")
            return
        new = Node(value, node.line, node.file)
        if SEP in key:
            self.root = _with(self.root, key.split(SEP), new)
        else:
            self.root.value[key] = new  # a copy for each of many keys would take long

    def _ids_beside(self, item_id: str) -> list[str]:
        found: list[str] = []
        base = item_id
        while base and not found:
            base = base.rpartition(SEP)[0]
            node = self.get(base)
            found = [f"{base}{SEP}{k}" if base else k for k, _ in node.children()] if node else []
        return found

    def _expand(self, item_id: str, node: Node, macros: tuple[str, ...]) -> None:
        if len(self.items) > MAX_NODES:
            raise SourceError(
                f"{node.file} expands to more than {MAX_NODES} values by its macros", line=node.line
            )
        if isinstance(node.value, str) and (
            node.value.startswith("%") or _RELATIVE.search(normal(node.value))
        ):
            node = Node(self._absolute(item_id, node), node.line, node.file)
            if node.value.startswith("%"):
                node, macros = self._macro(item_id, node, macros)
        self.items[item_id] = node
        for key, child in node.children():
            self._expand(f"{item_id}{SEP}{key}" if item_id else key, child, macros)

    def _absolute(self, item_id: str, node: Node) -> str:
        value, path = normal(node.value), item_id.split(SEP)
        for prefix in sorted(set(_RELATIVE.findall(value)), key=len, reverse=True):
            up = prefix.count(SEP)
            if up > len(path):
                self.fault(
                    node, item_id, "dangling-reference", f"{node.value} points above the top of the config"
                )
                continue
            value = value.replace(prefix, prefix[0] + "".join(p + SEP for p in path[:-up]))
        return value

    def _macro(self, item_id: str, node: Node, macros: tuple[str, ...]) -> tuple[Node, tuple[str, ...]]:
        name = normal(node.value[1:])
        if name in macros:
            self.fault(node, item_id, "circular-reference", f"the macro %{name} contains itself")
            return Node(None, node.line, node.file), macros
        match = _FILE_MACRO.fullmatch(name)
        target = self._other_file(match["path"], match["id"] or "") if match else self.get(name)
        if target is None:
            near = nearest(name, self._all_ids(self.root, ""))
            self.fault(
                node,
                item_id,
                "dangling-reference",
                f"the macro {node.value} names nothing",
                f"%{near}" if near else "",
            )
            return Node(None, node.line, node.file), macros
        return target, (*macros, name)

    def _other_file(self, path: str, item_id: str) -> Node | None:
        for base in (self.root_dir, self.root_dir / "configs"):
            place = (base / path).resolve()
            if place.is_file() and place.is_relative_to(self.root_dir.resolve()):
                return self.get(
                    item_id, read_source(place, str(place.relative_to(self.root_dir.resolve()))).root
                )
        return None

    def _all_ids(self, node: Node, base: str, depth: int = 0) -> Iterator[str]:
        for key, child in node.children():
            yield base + key
            if depth < 4:
                yield from self._all_ids(child, base + key + SEP, depth + 1)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every id with its node, metadata left out."""
        yield from self._walked

    def known(self, item_id: str, depth: int = 0) -> Any:
        """The plain value of an id where it follows from literals and references alone, else `UNKNOWN`.

        Understands ``@ref``, ``$len(@ref)`` and sums, differences and products of such numbers.
        """
        node = self.items.get(normal(item_id))
        if node is None or depth > 20:
            return UNKNOWN
        if not isinstance(node.value, str) or not node.value.startswith(("@", "$")):
            return (
                UNKNOWN
                if node.is_component
                else node.plain()
                if isinstance(node.value, (dict, list))
                else node.value
            )
        found = references(node.value)
        if node.value.startswith("@") and found:
            return self.known(found[0], depth + 1)
        return self._calculate(node.value, depth) if node.value.startswith("$") else node.value

    def _calculate(self, text: str, depth: int) -> Any:
        code, names = placeholders(text)
        try:
            tree = ast.parse(code, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return UNKNOWN
        return _value(tree, {n: self.known(i, depth + 1) for n, i in names.items()})


def _with(node: Node, path: Sequence[str], new: Node) -> Node:
    """A copy of `node` with `new` at the path; what other configs share is left as it is."""
    if not path:
        return new
    if isinstance(node.value, dict):
        child = node.value.get(path[0], new)
        value: Any = node.value | {path[0]: _with(child, path[1:], new)}
    else:
        at = int(path[0])
        value = [*node.value[:at], _with(node.value[at], path[1:], new), *node.value[at + 1 :]]
    return Node(value, node.line, node.file)


def _value(tree: ast.AST, names: dict[str, Any]) -> Any:
    if isinstance(tree, ast.Constant):
        return tree.value
    if isinstance(tree, ast.Name):
        return names.get(tree.id, UNKNOWN)
    if (
        isinstance(tree, ast.Call)
        and isinstance(tree.func, ast.Name)
        and tree.func.id == "len"
        and len(tree.args) == 1
    ):
        held = _value(tree.args[0], names)
        return len(held) if isinstance(held, (dict, list)) else UNKNOWN
    if isinstance(tree, ast.BinOp):
        left, right = _value(tree.left, names), _value(tree.right, names)
        if all(isinstance(v, int) and abs(v) < 2**31 for v in (left, right)):
            if isinstance(tree.op, ast.Add):
                return left + right
            if isinstance(tree.op, ast.Sub):
                return left - right
            if isinstance(tree.op, ast.Mult):
                return left * right
    return UNKNOWN
