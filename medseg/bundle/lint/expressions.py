"""Which ``$`` expressions are harmless, decided from their syntax; nothing is evaluated.

Allowed are references, literals, arithmetic, comparisons and a listed set of helpers (`CALLS`, `METHODS`,
`VALUES`). No import, lambda, loop or format string, no name that begins with an underscore, nothing that
could grow beyond a million values. What the configs of the model zoo use to list files is allowed as well
unless the caller is strict: one comprehension, `glob`, and an import of one of `MODULES`, which binds a name
and runs nothing new.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from medseg.bundle.lint.config import UNKNOWN, Config, placeholders

LARGEST = 1_000_000
_BITS = 4096
_MANY = 10_000  # what a list of unknown length counts for

CALLS = frozenset(
    [
        "len",
        "list",
        "tuple",
        "dict",
        "set",
        "sorted",
        "zip",
        "enumerate",
        "range",
        "int",
        "float",
        "str",
        "bool",
        "min",
        "max",
        "sum",
        "abs",
        "round",
        "any",
        "all",
        "torch.device",
        "torch.cuda.is_available",
        "torch.cuda.device_count",
        "torch.manual_seed",
        "monai.handlers.from_engine",
        "monai.utils.set_determinism",
    ]
)
FILE_CALLS = frozenset(
    [
        "glob.glob",
        "os.path.join",
        "os.path.basename",
        "os.path.dirname",
        "os.path.exists",
        "os.path.isfile",
        "monai.data.load_decathlon_datalist",
        "monai.data.partition_dataset",
    ]
)
METHODS = frozenset(
    [
        "to",
        "parameters",
        "run",
        "train",
        "eval",
        "keys",
        "values",
        "items",
        "get",
        "lower",
        "upper",
        "strip",
        "split",
        "replace",
        "startswith",
        "endswith",
        "index",
        "count",
    ]
)
VALUES = re.compile(
    r"(torch|numpy|np)\.(float|int|uint)(8|16|32|64)|(torch|np|numpy)\.(bool|bool_|long|half|float|double)"
    r"|torch\.(channels_last|channels_last_3d|contiguous_format)"
    r"|(math|numpy|np)\.(pi|inf|e)|monai\.utils\.(enums\.)?[A-Z]\w*\.[A-Z]\w*|monai\.data\.(pad_)?list_data_collate"
    r"|torch\.nn\.functional\.[a-z]+|torch\.(sigmoid|softmax|relu|tanh)"
)
MODULES = frozenset(
    ["glob", "os", "math", "json", "numpy", "torch", "monai", "ignite", "datetime", "nibabel", "scipy"]
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_PLAIN = (
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Dict,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
)
_PARTS = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.keyword, ast.Slice)


class _RefusedError(Exception):
    """An expression is outside the allowed set; the text says why."""


def why_not(text: str, config: Config, *, ordinary: bool = True) -> str:
    """Why the expression `text` (with its ``$``) is outside the allowed set; empty where it is inside.

    Args:
        text: as in the config file.
        config: tells what references are.
        ordinary: also allow `FILE_CALLS`, one-line comprehensions and imports of `MODULES`.
    """
    if len(text) > 4000:
        return f"an expression of {len(text)} characters"
    code, names = placeholders(text)
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"no valid expression ({getattr(error, 'msg', error)})"
    try:
        _statement(body, config, names, ordinary)
    except _RefusedError as reason:
        return str(reason)
    except RecursionError:
        return "an expression nested too deeply"
    return ""


def _statement(body: list[ast.stmt], config: Config, names: dict[str, str], ordinary: bool) -> None:
    if len(body) != 1:
        raise _RefusedError("more than one statement" if body else "an empty expression")
    if isinstance(body[0], (ast.Import, ast.ImportFrom)):
        _import(body[0], ordinary)
        return
    if not isinstance(body[0], ast.Expr):
        raise _RefusedError(f"a statement ({type(body[0]).__name__.lower()}), not an expression")
    _Checker(config, names, ordinary).check(body[0].value)
    _Size(config).of(body[0].value, names)


def _import(statement: ast.Import | ast.ImportFrom, ordinary: bool) -> None:
    for alias in statement.names:
        plain = isinstance(statement, ast.Import) and alias.name in MODULES
        usual = alias.asname in (None, alias.name) or (alias.name, alias.asname) == ("numpy", "np")
        if not (ordinary and plain and usual):
            module = getattr(statement, "module", None)
            raise _RefusedError(f"an import of {f'{module}.{alias.name}' if module else alias.name}")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` as text; empty where the node is anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


class _Checker:
    """Raises `_RefusedError` at the first node outside the allowed set."""

    def __init__(self, config: Config, names: dict[str, str], ordinary: bool) -> None:
        self.config, self.names, self.ordinary = config, names, ordinary
        self.local: set[str] = set()

    def check(self, node: ast.AST) -> None:
        if isinstance(node, _PARTS):
            pass
        elif isinstance(node, (ast.Name, ast.Attribute)):
            return self.name(node)
        elif isinstance(node, ast.Call):
            return self.call(node)
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp)) and self.ordinary:
            return self.comprehension(node)
        elif isinstance(node, ast.BinOp):
            if not isinstance(node.op, _OPERATORS):
                raise _RefusedError(f"the operator {type(node.op).__name__}")
        elif isinstance(node, ast.Constant):
            self.constant(node)
        elif not isinstance(node, (*_PLAIN, ast.Subscript)):
            raise _RefusedError(f"{_WORDS.get(type(node).__name__, type(node).__name__)}")
        for child in ast.iter_child_nodes(node):
            self.check(child)
        return None

    def constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and any(name in node.value for name in self.names):
            raise _RefusedError("a reference inside a text")

    def name(self, node: ast.Name | ast.Attribute) -> None:
        if isinstance(node, ast.Name) and (node.id in self.names or node.id in self.local):
            return
        full = dotted(node)
        if full and VALUES.fullmatch(full) and full.split(".")[0] not in self.local:
            return
        last = node.attr if isinstance(node, ast.Attribute) else node.id
        if last.startswith("_"):
            raise _RefusedError(f"the private name {last}, as in walking attributes")
        raise _RefusedError(f"the name {full or last}")

    def call(self, node: ast.Call) -> None:
        func, full = node.func, dotted(node.func)
        if any(k.arg is None for k in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            raise _RefusedError("unpacked arguments")
        if any(k.arg == "key" for k in node.keywords):
            raise _RefusedError("a function that is called by another (key=)")
        if full == "setattr" and _is_cudnn_flag(node):
            return
        if isinstance(func, ast.Attribute) and not self.is_module(full):
            if func.attr not in METHODS:
                raise _RefusedError(f"the method {func.attr}")
            self.check(func.value)
        elif isinstance(func, ast.Name) and func.id in self.names:
            self.called_reference(self.names[func.id], node)
        elif not (full in CALLS or (self.ordinary and full in FILE_CALLS)) or full in self.local:
            raise _RefusedError(f"a call of {full or type(func).__name__}")
        for child in [*node.args, *(k.value for k in node.keywords)]:
            self.check(child)

    def is_module(self, full: str) -> bool:
        first = full.split(".")[0]
        return bool(full) and first not in self.names and first not in self.local

    def called_reference(self, item_id: str, call: ast.Call) -> None:
        """Only what the model zoo writes: ``@checkpointloader(@evaluator)``."""
        node = self.config.get(item_id)
        if node is None or not node.is_component:
            raise _RefusedError(f"a call of @{item_id}, which is no component")
        if "_mode_" in node.value:
            raise _RefusedError(f"a call of @{item_id}, which is not built but handed on")
        plain = all(isinstance(a, ast.Name) and a.id in self.names for a in call.args)
        if call.keywords or len(call.args) > 1 or not plain:
            raise _RefusedError(f"a call of @{item_id} with more than one reference")

    def comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        if len(node.generators) != 1 or node.generators[0].is_async or self.local:
            raise _RefusedError("a comprehension with more than one loop")
        loop = node.generators[0]
        self.check(loop.iter)
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        new = {t.id for t in targets if isinstance(t, ast.Name) and not t.id.startswith("_")}
        if len(new) != len(targets) or new & {c.split(".")[0] for c in CALLS | FILE_CALLS}:
            raise _RefusedError("a comprehension over anything but plain names")
        self.local |= new
        for child in [node.elt, *loop.ifs]:
            self.check(child)
        self.local -= new


_WORDS = {
    "Lambda": "a lambda",
    "JoinedStr": "a format string",
    "ListComp": "a comprehension",
    "NamedExpr": "an assignment",
}
_WORDS |= {"GeneratorExp": "a comprehension", "SetComp": "a comprehension", "DictComp": "a comprehension"}


def _is_cudnn_flag(node: ast.Call) -> bool:
    if len(node.args) != 3 or node.keywords or dotted(node.args[0]) != "torch.backends.cudnn":
        return False
    name, value = node.args[1:]
    flags = isinstance(name, ast.Constant) and name.value in ("benchmark", "deterministic", "enabled")
    return flags and isinstance(value, ast.Constant) and isinstance(value.value, bool)


class _Size:
    """An upper bound of what an expression makes: bits of a number, or items of a sequence."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.memo: dict[str, tuple[str, int]] = {}

    def of(self, node: ast.AST, names: dict[str, str], depth: int = 0) -> tuple[str, int]:
        kind, amount = self._of(node, names, depth)
        if amount > (_BITS if kind == "number" else LARGEST):
            raise _RefusedError(f"a {kind} that may grow beyond {_BITS} bits or {LARGEST} items")
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
                raise _RefusedError("a power with an exponent that is not a small number")
            return "number", left[1] * max(1, exponent)
        if isinstance(node.op, ast.Mult) and both == {"number", "sequence"}:
            number, length = (node.left, right[1]) if left[0] == "number" else (node.right, left[1])
            return "sequence", length * self.number(number, names)
        if isinstance(node.op, ast.Mod) and left[0] == "sequence":
            raise _RefusedError("a text formatted with %")
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
            raise _RefusedError("references nested too deeply")
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
