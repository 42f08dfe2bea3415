"""Which ``$`` expressions are harmless, decided from their syntax; nothing is evaluated.

Allowed are references, literals, arithmetic, comparisons and a listed set of helpers (`CALLS`, `METHODS`,
`VALUES`). No import, lambda, loop or format string, no name that begins with an underscore, nothing that
could grow beyond a million values. What the configs of the model zoo use to list files is allowed as well
unless the caller is strict: one comprehension, `glob`, and an import of one of `MODULES`, which binds a name
and runs nothing new.
"""

from __future__ import annotations

import ast

from medseg.bundle.lint.allowed import (
    CALLS,
    FILE_CALLS,
    METHODS,
    MODULES,
    OPERATORS,
    PARTS,
    PLAIN,
    VALUES,
    RefusedError,
    dotted,
)
from medseg.bundle.lint.config import Config
from medseg.bundle.lint.growth import refuse_growth
from medseg.bundle.lint.syntax import placeholders

_WORDS = {
    "Lambda": "a lambda",
    "JoinedStr": "a format string",
    "ListComp": "a comprehension",
    "NamedExpr": "an assignment",
}
_WORDS |= {"GeneratorExp": "a comprehension", "SetComp": "a comprehension", "DictComp": "a comprehension"}


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
    except RefusedError as reason:
        return str(reason)
    except RecursionError:
        return "an expression nested too deeply"
    return ""


def _statement(body: list[ast.stmt], config: Config, names: dict[str, str], ordinary: bool) -> None:
    if len(body) != 1:
        raise RefusedError("more than one statement" if body else "an empty expression")
    if isinstance(body[0], (ast.Import, ast.ImportFrom)):
        _import(body[0], ordinary)
        return
    if not isinstance(body[0], ast.Expr):
        raise RefusedError(f"a statement ({type(body[0]).__name__.lower()}), not an expression")
    _Checker(config, names, ordinary).check(body[0].value)
    refuse_growth(body[0].value, names, config)


def _import(statement: ast.Import | ast.ImportFrom, ordinary: bool) -> None:
    for alias in statement.names:
        plain = isinstance(statement, ast.Import) and alias.name in MODULES
        usual = alias.asname in (None, alias.name) or (alias.name, alias.asname) == ("numpy", "np")
        if not (ordinary and plain and usual):
            module = getattr(statement, "module", None)
            raise RefusedError(f"an import of {f'{module}.{alias.name}' if module else alias.name}")


class _Checker:
    """Raises `RefusedError` at the first node outside the allowed set."""

    def __init__(self, config: Config, names: dict[str, str], ordinary: bool) -> None:
        self.config, self.names, self.ordinary = config, names, ordinary
        self.local: set[str] = set()

    def check(self, node: ast.AST) -> None:
        if isinstance(node, PARTS):
            pass
        elif isinstance(node, (ast.Name, ast.Attribute)):
            return self.name(node)
        elif isinstance(node, ast.Call):
            return self.call(node)
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp)) and self.ordinary:
            return self.comprehension(node)
        elif isinstance(node, ast.BinOp):
            if not isinstance(node.op, OPERATORS):
                raise RefusedError(f"the operator {type(node.op).__name__}")
        elif isinstance(node, ast.Constant):
            self.constant(node)
        elif not isinstance(node, (*PLAIN, ast.Subscript)):
            raise RefusedError(f"{_WORDS.get(type(node).__name__, type(node).__name__)}")
        for child in ast.iter_child_nodes(node):
            self.check(child)
        return None

    def constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and any(name in node.value for name in self.names):
            raise RefusedError("a reference inside a text")

    def name(self, node: ast.Name | ast.Attribute) -> None:
        if isinstance(node, ast.Name) and (node.id in self.names or node.id in self.local):
            return
        full = dotted(node)
        if full and VALUES.fullmatch(full) and full.split(".")[0] not in self.local:
            return
        last = node.attr if isinstance(node, ast.Attribute) else node.id
        if last.startswith("_"):
            raise RefusedError(f"the private name {last}, as in walking attributes")
        raise RefusedError(f"the name {full or last}")

    def call(self, node: ast.Call) -> None:
        func, full = node.func, dotted(node.func)
        if any(k.arg is None for k in node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            raise RefusedError("unpacked arguments")
        if any(k.arg == "key" for k in node.keywords):
            raise RefusedError("a function that is called by another (key=)")
        if full == "setattr" and _is_cudnn_flag(node):
            return
        if isinstance(func, ast.Attribute) and not self.is_module(full):
            if func.attr not in METHODS:
                raise RefusedError(f"the method {func.attr}")
            self.check(func.value)
        elif isinstance(func, ast.Name) and func.id in self.names:
            self.called_reference(self.names[func.id], node)
        elif not (full in CALLS or (self.ordinary and full in FILE_CALLS)) or full in self.local:
            raise RefusedError(f"a call of {full or type(func).__name__}")
        for child in [*node.args, *(k.value for k in node.keywords)]:
            self.check(child)

    def is_module(self, full: str) -> bool:
        first = full.split(".")[0]
        return bool(full) and first not in self.names and first not in self.local

    def called_reference(self, item_id: str, call: ast.Call) -> None:
        """Only what the model zoo writes: ``@checkpointloader(@evaluator)``."""
        node = self.config.get(item_id)
        if node is None or not node.is_component:
            raise RefusedError(f"a call of @{item_id}, which is no component")
        if "_mode_" in node.value:
            raise RefusedError(f"a call of @{item_id}, which is not built but handed on")
        plain = all(isinstance(a, ast.Name) and a.id in self.names for a in call.args)
        if call.keywords or len(call.args) > 1 or not plain:
            raise RefusedError(f"a call of @{item_id} with more than one reference")

    def comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        if len(node.generators) != 1 or node.generators[0].is_async or self.local:
            raise RefusedError("a comprehension with more than one loop")
        loop = node.generators[0]
        self.check(loop.iter)
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        new = {t.id for t in targets if isinstance(t, ast.Name) and not t.id.startswith("_")}
        if len(new) != len(targets) or new & {c.split(".")[0] for c in CALLS | FILE_CALLS}:
            raise RefusedError("a comprehension over anything but plain names")
        self.local |= new
        for child in [node.elt, *loop.ifs]:
            self.check(child)
        self.local -= new


def _is_cudnn_flag(node: ast.Call) -> bool:
    if len(node.args) != 3 or node.keywords or dotted(node.args[0]) != "torch.backends.cudnn":
        return False
    name, value = node.args[1:]
    flags = isinstance(name, ast.Constant) and name.value in ("benchmark", "deterministic", "enabled")
    return flags and isinstance(value, ast.Constant) and isinstance(value.value, bool)
