"""How large what an expression makes may grow, decided from its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from medseg.bundle.lint.allowed import FILE_CALLS, RefusedError, dotted
from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.syntax import placeholders

LARGEST = 1_000_000
_BITS = 4096
_MANY = 10_000  # what a list of unknown length counts for


def refuse_growth(node: ast.AST, names: dict[str, str], config: Config) -> None:
    """Raises `RefusedError` where an expression may make too long a number or too many items.

    Args:
        node: the expression.
        names: what its names refer to, by the config's ids.
        config: where those are looked up.
    """
    _Size(config).of(node, names)


class _Size:
    """An upper bound of what an expression makes: bits of a number, or items of a sequence."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.memo: dict[str, tuple[str, int]] = {}

    def of(self, node: ast.AST, names: dict[str, str], depth: int = 0) -> tuple[str, int]:
        kind, amount = self._of(node, names, depth)
        if amount > (_BITS if kind == "number" else LARGEST):
            raise RefusedError(f"a {kind} that may grow beyond {_BITS} bits or {LARGEST} items")
        return kind, amount

    def _of(self, node: ast.AST, names: dict[str, str], depth: int) -> tuple[str, int]:
        if isinstance(node, ast.Constant):
            return (
                ("number", node.value.bit_length() + 1) if isinstance(node.value, int) else _plain(node.value)
            )
        if isinstance(node, ast.Name) and node.id in names:
            return self.reference(names[node.id], depth)
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            inner = self.of(node.elt, names, depth)[1] if not isinstance(node.elt, ast.Name) else 1
            return "sequence", self.of(node.generators[0].iter, names, depth)[1] * max(
                1, min(inner, _MANY) // 64
            )
        parts = [self.of(child, names, depth) for child in _expressions(node)]
        if isinstance(node, ast.BinOp):
            return self.operation(node, parts[0], parts[1], names)
        if isinstance(node, ast.Call):
            return self.call(node, parts, names)
        kinds = {kind for kind, _ in parts}
        if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
            return "sequence", sum(n if kind == "sequence" else 1 for kind, n in parts) + 1
        return ("sequence" if "sequence" in kinds else "number"), max((n for _, n in parts), default=1)

    def operation(
        self, node: ast.BinOp, left: tuple[str, int], right: tuple[str, int], names: dict[str, str]
    ) -> tuple[str, int]:
        both = {left[0], right[0]}
        if isinstance(node.op, ast.Pow):
            exponent = node.right.value if isinstance(node.right, ast.Constant) else None
            if not isinstance(exponent, int) or exponent > 16 or "sequence" in both:
                raise RefusedError("a power with an exponent that is not a small number")
            return "number", left[1] * max(1, exponent)
        if isinstance(node.op, ast.Mult) and both == {"number", "sequence"}:
            number, length = (node.left, right[1]) if left[0] == "number" else (node.right, left[1])
            return "sequence", length * self.number(number, names)
        if isinstance(node.op, ast.Mod) and left[0] == "sequence":
            raise RefusedError("a text formatted with %")
        return ("sequence" if "sequence" in both else "number"), left[1] + right[1]

    def number(self, node: ast.expr, names: dict[str, str]) -> int:
        value = node.value if isinstance(node, ast.Constant) else UNKNOWN
        if isinstance(node, ast.Name) and node.id in names:
            value = self.config.known(names[node.id])
        if isinstance(node, (ast.BinOp, ast.UnaryOp)):
            value = 1 << min(64, self.of(node, names)[1])
        return abs(int(value)) if isinstance(value, (int, float)) else 1000

    def call(self, node: ast.Call, parts: list[tuple[str, int]], names: dict[str, str]) -> tuple[str, int]:
        name = dotted(node.func)
        if name == "range":
            return "sequence", max((self.number(a, names) for a in node.args), default=1)
        if name in ("len", "int", "float", "bool", "abs", "round"):
            return "number", 64
        if isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
            total = 1
            for _, amount in parts:
                total *= max(1, amount)
            return "sequence", total
        is_list = name in FILE_CALLS or any(kind == "sequence" for kind, _ in parts)
        return (
            ("sequence", max([n for _, n in parts] + ([_MANY] if name == "glob.glob" else [1])))
            if is_list
            else ("number", 64)
        )

    def reference(self, item_id: str, depth: int) -> tuple[str, int]:
        if depth > 60:
            raise RefusedError("references nested too deeply")
        if item_id not in self.memo:
            node = self.config.items.get(item_id)
            value = node.value if node else None
            if isinstance(value, str) and value.startswith("$"):
                self.memo[item_id] = self.expression(value, depth)
            elif isinstance(value, str) and value.startswith("@") and len(value) > 1:
                self.memo[item_id] = self.reference(value.replace("#", "::")[1:], depth + 1)
            else:
                self.memo[item_id] = _plain(value) if not (node and node.is_component) else ("number", 64)
        return self.memo[item_id]

    def expression(self, text: str, depth: int) -> tuple[str, int]:
        code, names = placeholders(text)
        try:
            body = ast.parse(code, mode="eval").body
        except SyntaxError:
            return "number", 64
        return self.of(body, names, depth + 1)


def _plain(value: object) -> tuple[str, int]:
    if isinstance(value, int):
        return "number", value.bit_length() + 1
    return ("sequence", len(value) + 1) if isinstance(value, (str, list, dict, bytes)) else ("number", 64)


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            yield child.value
        elif isinstance(child, ast.expr) and not (
            isinstance(node, ast.Call) and child is node.func and not isinstance(child, ast.Attribute)
        ):
            yield child.value if isinstance(child, ast.Attribute) else child
