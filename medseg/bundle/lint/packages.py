"""Where a dotted name is defined, found in source files alone: no package is imported."""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.bundle.lint.bare_names import bare_names, replaced
from medseg.bundle.lint.finding import nearest
from medseg.bundle.lint.modules import (
    absolute,
    assigned,
    file_of,
    inside,
    names_in,
    package_folder,
    read,
    statements,
    syntax,
)

_TOPS = ("monai", "torch", "ignite", "medseg", "scripts", "numpy")


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
        while rest and place.is_dir() and (inner := inside(place, rest[0])):
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
        near = replaced(name) or nearest(name, bare_names())
        return Missing(f"MONAI has no class or function {name}", near, "monai")

    def _top(self, name: str) -> Path | None:
        if self.own and (inner := inside(self.own, name)):
            return inner
        return package_folder(name)

    def _attribute(self, place: Path, module: str, rest: Sequence[str]) -> Definition | Missing:
        file = file_of(place)
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
        file = file_of(place)
        found = self.find(file, module, name) if file else None
        return found is not None and found.kind in ("class", "function")

    def _like(self, place: Path, module: str, rest: Sequence[str]) -> str:
        names = set(names_in(place))
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
        for statement in statements(syntax(file).body):
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if alias.name == "*":
                        stars.append(statement)
                    elif (alias.asname or alias.name) == name:
                        return self._imported(absolute(statement, package), alias.name, depth)
            elif isinstance(statement, ast.Import):
                for alias in statement.names:
                    if (alias.asname or alias.name.split(".")[0]) == name:
                        return Definition("module", alias.name if alias.asname else name, "")
            elif isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if statement.name == name:
                    return Definition(
                        "class" if isinstance(statement, ast.ClassDef) else "function", module, name, file
                    )
            elif (bound := assigned(statement, name)) is not None:
                if bound and bound != name:
                    return self.find(file, module, bound, depth + 1)
                return Definition("opaque", module, name, file)
        for star in stars:
            if (found := self._imported(absolute(star, package), name, depth, star=True)) is not None:
                return found
        return self._lazily(file, module, name, package, depth)

    def _lazily(self, file: Path, module: str, name: str, package: str, depth: int) -> Definition | None:
        """What the module's own ``__getattr__`` imports when asked, as far as the source tells."""
        for statement in syntax(file).body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__":
                for inner in (n for n in ast.walk(statement) if isinstance(n, ast.ImportFrom)):
                    if any((alias.asname or alias.name) == name for alias in inner.names):
                        return self._imported(absolute(inner, package), name, depth)
                return Definition("opaque", module, name, file)
        return None

    def _imported(self, module: str, name: str, depth: int, star: bool = False) -> Definition | None:
        found = self._submodule(module)
        if found is None:
            return None if star else Definition("opaque", module, name)
        if (
            not star
            and found.is_dir()
            and (inner := inside(found, name))
            and not self._has(found, module, name, depth)
        ):
            return Definition("module", f"{module}.{name}", "", file_of(inner))
        file = file_of(found)
        if file is None:
            return Definition("opaque", module, name)
        if star and name.startswith("_"):
            return None
        return self.find(file, module, name, depth + 1)

    def _has(self, place: Path, module: str, name: str, depth: int) -> bool:
        file = file_of(place)
        return file is not None and self.find(file, module, name, depth + 1) is not None

    def _submodule(self, module: str) -> Path | None:
        parts = module.split(".")
        place = self._top(parts[0])
        for part in parts[1:]:
            place = inside(place, part) if place and place.is_dir() else None
        return place
