"""Where a dotted name is defined, found in source files alone: no package is imported."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.bundle.lint.finding import nearest

_TOP = re.compile(r"^(?:class|(?:async )?def) (\w+)", re.MULTILINE)
_ALIAS = re.compile(r"^((?:\w+ = )+)(\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Definition:
    """What a name stands for.

    Attributes:
        kind: ``class``, ``function``, ``module``, ``builtin``, or ``opaque`` where the source does not say (a
            compiled module, an assignment).
        module: dotted name of the module that defines it.
        name: its name there; empty for a module.
        path: the source file, or None.
    """

    kind: str
    module: str
    name: str
    path: Path | None = None


@dataclass(frozen=True)
class Missing:
    """A name that nothing defines, why, and the full name that was probably meant."""

    why: str
    nearest: str = ""
    package: str = ""


@functools.cache
def package_folder(top: str) -> Path | None:
    """The folder or file of an installed top-level package, not imported; None where there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.has_location else Path(os.devnull)


@functools.cache
def read(path: Path | str) -> str:
    """The text of a source file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


@functools.cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a source file; an empty one where it is no valid Python."""
    try:
        return ast.parse(read(path))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


@functools.cache
def _defining() -> dict[str, list[str]]:
    """Class and function names of MONAI with every module that defines them."""
    found: dict[str, list[str]] = {}
    root = package_folder("monai")
    for folder, folders, files in os.walk(root) if root else ():
        folders[:] = sorted(f for f in folders if f not in ("__pycache__", "_extensions", "csrc"))
        for file in sorted(files):
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                module = (
                    path[len(str(root)) - len("monai") : -3].replace(os.sep, ".").removesuffix(".__init__")
                )
                for name in _defined(path):
                    found.setdefault(name, []).append(module)
    return found


@functools.cache
def bare_names() -> dict[str, str]:
    """Class and function names of MONAI with their module: what a ``_target_`` without a dot may say."""
    return {name: modules[0] for name, modules in _defining().items()}


def modules_of(name: str) -> tuple[str, ...]:
    """Every module of MONAI that defines a bare name; MONAI takes the one imported first."""
    return tuple(dict.fromkeys(_defining().get(name, ())))


def _defined(path: Path | str) -> Iterator[str]:
    text = read(path)
    yield from _TOP.findall(text)
    for names, _ in _ALIAS.findall(text):
        yield from names.replace(" ", "").rstrip("=").split("=")


@dataclass(frozen=True)
class Packages:
    """Looks names up in the installed packages and in the bundle's own folder.

    Args:
        own: the bundle's folder, where ``scripts.…`` lies.
    """

    own: Path | None = None

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - two equal ones share it, and sources do not change
    def locate(self, target: str) -> Definition | Missing:
        """The definition that a ``_target_`` names, or why there is none."""
        if "." not in target:
            return self._bare(target)
        parts = target.split(".")
        if not all(p.isidentifier() for p in parts):
            return Missing(f"{target!r} is no dotted name")
        place = self._top(parts[0])
        if place is None:
            return Missing(
                f"no package {parts[0]} is installed or in the bundle",
                nearest(parts[0], {*_TOPS} - {parts[0]}),
                parts[0],
            )
        module, rest = [parts[0]], parts[1:]
        while rest and place.is_dir() and (inner := _inside(place, rest[0])):
            if len(rest) == 1 and self._shadowed(place, ".".join(module), rest[0]):
                break  # `from .datalist import datalist`: the function hides its module
            place, module, rest = inner, [*module, rest[0]], rest[1:]
        return self._attribute(place, ".".join(module), rest)

    def _bare(self, name: str) -> Definition | Missing:
        if name in bare_names():
            return self.locate(f"{bare_names()[name]}.{name}")
        if hasattr(builtins, name):
            return Definition("builtin", "builtins", name)
        if self._top(name):
            return Definition("module", name, "")
        return Missing(f"MONAI has no class or function {name}", nearest(name, bare_names()), "monai")

    def _top(self, name: str) -> Path | None:
        if self.own and (inner := _inside(self.own, name)):
            return inner
        return package_folder(name)

    def _attribute(self, place: Path, module: str, rest: Sequence[str]) -> Definition | Missing:
        file = _file(place)
        if not rest:
            return Definition("module", module, "", file)
        if file is None:
            return Definition("opaque", module, rest[0])
        found = self.find(file, module, rest[0])
        if found is None:
            return Missing(
                f"{module} has no {rest[0]}", self._like(place, module, rest), module.split(".")[0]
            )
        if len(rest) == 1:
            return found
        if found.kind == "module":
            return self.locate(".".join([found.module, *rest[1:]]))
        return Definition("opaque", found.module, ".".join([found.name, *rest[1:]]), found.path)

    def _shadowed(self, place: Path, module: str, name: str) -> bool:
        file = _file(place)
        found = self.find(file, module, name) if file else None
        return found is not None and found.kind in ("class", "function")

    def _like(self, place: Path, module: str, rest: Sequence[str]) -> str:
        names = set(_names(place))
        close = nearest(rest[0], names)
        if len(rest) == 1 and module.startswith("monai") and close.lower() != rest[0].lower():
            everywhere = nearest(rest[0], {*names, *bare_names()})
            if everywhere and everywhere not in names:
                return f"{bare_names()[everywhere]}.{everywhere}"
        return ".".join([module, close, *rest[1:]]) if close else ""

    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def find(self, file: Path, module: str, name: str, depth: int = 0) -> Definition | None:
        """The definition of `name` in a module's file, imports followed; None where there is none."""
        text = read(file)
        if not re.search(rf"\b{re.escape(name)}\b", text) and "import *" not in text:
            return None
        match = re.search(rf"^(?P<kind>class|(?:async )?def) {re.escape(name)}\b", text, re.MULTILINE)
        if match:
            return Definition("class" if match["kind"] == "class" else "function", module, name, file)
        if depth > 12:
            return Definition("opaque", module, name, file)
        return self._by_statement(file, module, name, depth)

    def _by_statement(self, file: Path, module: str, name: str, depth: int) -> Definition | None:
        stars: list[ast.ImportFrom] = []
        package = module if file.name.startswith("__init__.") else module.rpartition(".")[0]
        for statement in _statements(syntax(file).body):
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if alias.name == "*":
                        stars.append(statement)
                    elif (alias.asname or alias.name) == name:
                        return self._imported(_absolute(statement, package), alias.name, depth)
            elif isinstance(statement, ast.Import):
                for alias in statement.names:
                    if (alias.asname or alias.name.split(".")[0]) == name:
                        return Definition("module", alias.name if alias.asname else name, "")
            elif isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if statement.name == name:
                    return Definition(
                        "class" if isinstance(statement, ast.ClassDef) else "function", module, name, file
                    )
            elif (assigned := _assigned(statement, name)) is not None:
                if assigned and assigned != name:
                    return self.find(file, module, assigned, depth + 1)
                return Definition("opaque", module, name, file)
        for star in stars:
            if (found := self._imported(_absolute(star, package), name, depth, star=True)) is not None:
                return found
        return self._lazily(file, module, name, package, depth)

    def _lazily(self, file: Path, module: str, name: str, package: str, depth: int) -> Definition | None:
        """What the module's own ``__getattr__`` imports when asked, as far as the source tells."""
        for statement in syntax(file).body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__":
                for inner in (n for n in ast.walk(statement) if isinstance(n, ast.ImportFrom)):
                    if any((alias.asname or alias.name) == name for alias in inner.names):
                        return self._imported(_absolute(inner, package), name, depth)
                return Definition("opaque", module, name, file)
        return None

    def _imported(self, module: str, name: str, depth: int, star: bool = False) -> Definition | None:
        found = self._submodule(module)
        if found is None:
            return None if star else Definition("opaque", module, name)
        if (
            not star
            and found.is_dir()
            and (inner := _inside(found, name))
            and not self._has(found, module, name, depth)
        ):
            return Definition("module", f"{module}.{name}", "", _file(inner))
        file = _file(found)
        if file is None:
            return Definition("opaque", module, name)
        if star and name.startswith("_"):
            return None
        return self.find(file, module, name, depth + 1)

    def _has(self, place: Path, module: str, name: str, depth: int) -> bool:
        file = _file(place)
        return file is not None and self.find(file, module, name, depth + 1) is not None

    def _submodule(self, module: str) -> Path | None:
        parts = module.split(".")
        place = self._top(parts[0])
        for part in parts[1:]:
            place = _inside(place, part) if place and place.is_dir() else None
        return place


_TOPS = ("monai", "torch", "ignite", "medseg", "scripts", "numpy")


def _inside(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir() and (
        (folder / name / "__init__.py").exists() or any((folder / name).glob("*.py"))
    ):
        return folder / name
    for suffix in (".py", ".pyi"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    if (folder / name / "__init__.pyi").is_file():
        return folder / name
    return next(iter(sorted(folder.glob(f"{name}.*.so"))), None)


def _file(place: Path) -> Path | None:
    if place.is_dir():
        return next((place / n for n in ("__init__.py", "__init__.pyi") if (place / n).is_file()), None)
    return place if place.suffix in (".py", ".pyi") else None


def _names(place: Path) -> Iterator[str]:
    if place.is_dir():
        yield from (p.stem for p in place.iterdir() if p.is_dir() or p.suffix == ".py")
    file = _file(place)
    if file is None:
        return
    yield from _defined(file)
    for statement in _statements(syntax(file).body):
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from ((a.asname or a.name).split(".")[0] for a in statement.names)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try, ast.With)):
                yield from _statements(getattr(statement, inner, []))
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _statements(handler.body)


def _assigned(statement: ast.stmt, name: str) -> str | None:
    """What a statement binds `name` to: another name, "" for any other value, None where it does not."""
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = [t for e in statement.targets for t in (e.elts if isinstance(e, ast.Tuple) else [e])]
    else:
        return None
    if not any(isinstance(t, ast.Name) and t.id == name for t in targets):
        return None
    simple = isinstance(statement.value, ast.Name) and not any(
        isinstance(t, ast.Tuple) for t in getattr(statement, "targets", [])
    )
    return statement.value.id if simple and isinstance(statement.value, ast.Name) else ""


def _absolute(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - statement.level + 1]
    return ".".join([*base, statement.module] if statement.module else base)
