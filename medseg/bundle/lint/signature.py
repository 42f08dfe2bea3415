"""The arguments of a class or function, read from its source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from medseg.bundle.lint.modules import read, syntax
from medseg.bundle.lint.packages import Definition, Packages

_KEEPS_SIGNATURE = {
    "deprecated",
    "deprecated_arg",
    "deprecated_arg_default",
    "no_grad",
    "inference_mode",
    "staticmethod",
}
_KEEPS_SIGNATURE |= {
    "torch_no_grad",
    "export",
    "require_pkg",
    "lru_cache",
    "cache",
    "property",
    "jit",
    "compatibility",
}
_KEEPS_SIGNATURE |= {"alias", "ignore", "unused", "override", "overload", "final", "wraps"}
_FREE_BASES = {"NamedTuple", "Enum", "IntEnum", "StrEnum", "TypedDict", "Protocol"}


@dataclass(frozen=True)
class Signature:
    """What may be given by name.

    Attributes:
        names: every argument that has a name.
        required: those without a default.
        is_open: any other name is taken too (``**kwargs``).
        kinds: of an annotated argument every type that its annotation names (``int | None``: both).
        defaults: of an argument that has a plain one.
    """

    names: tuple[str, ...]
    required: frozenset[str]
    is_open: bool = False
    kinds: dict[str, frozenset[str]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


ANYTHING = Signature((), frozenset(), is_open=True)


@functools.lru_cache(maxsize=4096)
def signature(definition: Definition, packages: Packages, depth: int = 0) -> Signature:
    """The signature of a definition; `ANYTHING` where the source does not tell."""
    if depth > 12 or definition.path is None or definition.path.suffix == ".pyi":
        return ANYTHING
    tree = _statement(definition)
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ANYTHING if _wrapped(tree) else _arguments(tree, skip_first=False)
    if isinstance(tree, ast.ClassDef):
        return _of_class(tree, definition, packages, depth)
    return ANYTHING


@functools.cache
def _statement(definition: Definition) -> ast.stmt | None:
    """The class or function statement; a slice of a long module parses much faster than all of it."""
    assert definition.path is not None
    lines = read(definition.path).split("\n")
    head = re.compile(rf"(class|(async )?def) {re.escape(definition.name)}\b")
    starts = [i for i, line in enumerate(lines) if head.match(line)]
    if len(starts) == 1:
        first = starts[0]
        while first and lines[first - 1].startswith("@"):
            first -= 1
        last = starts[0] + 1
        while last < len(lines) and not re.match(r"[A-Za-z_@]", lines[last]):
            last += 1
        try:
            return ast.parse("\n".join(lines[first:last])).body[-1]
        except (SyntaxError, ValueError, IndexError):
            pass  # text at the margin of a docstring: parse the whole module
    return next((s for s in _nested(syntax(definition.path).body) if s.name == definition.name), None)


def _nested(body: Sequence[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for statement in reversed(body):
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield statement
        elif isinstance(statement, (ast.If, ast.Try)):
            yield from _nested([*statement.orelse, *statement.body])


def _name(node: ast.expr) -> str:
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def _wrapped(tree: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_name(d) not in _KEEPS_SIGNATURE for d in tree.decorator_list)


def _arguments(tree: ast.FunctionDef | ast.AsyncFunctionDef, *, skip_first: bool) -> Signature:
    a = tree.args
    positional = [*a.posonlyargs, *a.args][1 if skip_first else 0 :]
    needed = positional[: len(positional) - len(a.defaults)] if a.defaults else positional
    names = [x.arg for x in [*positional, *a.kwonlyargs]]
    required = [x.arg for x in needed]
    required += [x.arg for x, default in zip(a.kwonlyargs, a.kw_defaults, strict=True) if default is None]
    for decorator in tree.decorator_list:
        if isinstance(decorator, ast.Call) and _name(decorator).startswith("deprecated_arg"):
            values = [*decorator.args[:1], *(k.value for k in decorator.keywords if k.arg == "name")]
            names += [str(v.value) for v in values if isinstance(v, ast.Constant)]
    is_open = a.kwarg is not None or bool(a.posonlyargs)
    kinds = {x.arg: _kinds(x.annotation) for x in [*positional, *a.kwonlyargs] if x.annotation}
    given = dict(zip([*positional[len(needed) :], *a.kwonlyargs], [*a.defaults, *a.kw_defaults], strict=True))
    defaults = {x.arg: d.value for x, d in given.items() if isinstance(d, ast.Constant)}
    return Signature(tuple(dict.fromkeys(names)), frozenset(required), is_open, kinds, defaults)


def _kinds(annotation: ast.expr) -> frozenset[str]:
    """The last name of every type in an annotation; what is no plain type gives a name that fits nothing."""
    found: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant):
            found.add("None" if node.value is None else "?")
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return frozenset(found - {"Optional", "Union", "torch", "np", "typing", "t"})


def _of_class(tree: ast.ClassDef, where: Definition, packages: Packages, depth: int) -> Signature:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            if _wrapped(statement):
                return ANYTHING
            own = _arguments(statement, skip_first=True)
            return _passed_on(statement, own, tree, where, packages, depth) if own.is_open else own
    if any(_name(d) == "dataclass" for d in tree.decorator_list):
        return _fields(tree) if not _bases(tree) else ANYTHING
    if any(isinstance(s, ast.FunctionDef) and s.name == "__new__" for s in tree.body):
        return ANYTHING
    return _inherited(tree, where, packages, depth)


def _bases(tree: ast.ClassDef) -> list[ast.expr]:
    return [b for b in tree.bases if _name(b) not in ("object", "ABC", "Generic")]


def _inherited(tree: ast.ClassDef, where: Definition, packages: Packages, depth: int) -> Signature:
    for base in _bases(tree):
        found = None if _name(base) in _FREE_BASES else _base(base, where, packages)
        if found is None:
            return ANYTHING
        inherited = signature(found, packages, depth + 1)
        if inherited.names or inherited.is_open:
            return inherited
    return Signature((), frozenset())


def _base(base: ast.expr, where: Definition, packages: Packages) -> Definition | None:
    dotted = _dotted(base)
    if not dotted or where.path is None:
        return None
    first, _, rest = dotted.partition(".")
    local = packages.find(where.path, where.module, first)
    if local is not None and local.kind == "module" and rest:
        found = packages.locate(f"{local.module}.{rest}")
        return found if isinstance(found, Definition) and found.kind == "class" else None
    return local if local is not None and local.kind == "class" else None


def _fields(tree: ast.ClassDef) -> Signature:
    names = [s for s in tree.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    every = tuple(s.target.id for s in names if isinstance(s.target, ast.Name))
    needed = frozenset(s.target.id for s in names if isinstance(s.target, ast.Name) and s.value is None)
    return Signature(every, needed)


def _passed_on(
    init: ast.FunctionDef,
    own: Signature,
    tree: ast.ClassDef,
    where: Definition,
    packages: Packages,
    depth: int,
) -> Signature:
    """`own`, closed where ``**kwargs`` goes to the base class's ``__init__`` and nowhere else."""
    if init.args.kwarg is None:
        return ANYTHING
    name = init.args.kwarg.arg
    uses = sum(isinstance(n, ast.Name) and n.id == name for n in ast.walk(init))
    calls = [n for n in ast.walk(init) if isinstance(n, ast.Call) and _is_super_init(n.func)]
    passing = [c for c in calls if any(k.arg is None and _name(k.value) == name for k in c.keywords)]
    looked_up = list(_looked_up(init, name))
    if uses != len(passing) + len(looked_up) or len(passing) != 1 or len(_bases(tree)) != 1:
        return own
    base = _inherited(tree, where, packages, depth)
    if base.is_open:
        return own
    names = tuple(dict.fromkeys([*own.names, *base.names, *looked_up]))
    return Signature(names, own.required, False, base.kinds | own.kinds, base.defaults | own.defaults)


def _looked_up(init: ast.FunctionDef, name: str) -> Iterator[str]:
    """The key of each ``name["key"]``, ``"key" in name`` and ``name.pop("key")``."""
    for n in ast.walk(init):
        key: ast.expr | None = None
        if isinstance(n, ast.Subscript) and _name(n.value) == name:
            key = n.slice
        elif isinstance(n, ast.Compare) and len(n.comparators) == 1 and _name(n.comparators[0]) == name:
            key = n.left
        elif (
            isinstance(n, ast.Call)
            and isinstance(n.func, ast.Attribute)
            and _name(n.func.value) == name
            and n.args
        ):
            key = n.args[0]
        if isinstance(key, ast.Constant):
            yield str(key.value)


def _is_super_init(func: ast.expr) -> bool:
    return isinstance(func, ast.Attribute) and func.attr == "__init__" and _name(func.value) == "super"
