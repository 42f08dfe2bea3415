"""Installed modules as files and syntax trees: nothing is imported."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_TOP = re.compile(r"^(?:class|(?:async )?def) (\w+)", re.MULTILINE)
_ALIAS = re.compile(r"^((?:\w+ = )+)(\w+)$", re.MULTILINE)


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


def defined(path: Path | str) -> Iterator[str]:
    """Classes, functions and their other names at the top level of a source file."""
    text = read(path)
    yield from _TOP.findall(text)
    for names, _ in _ALIAS.findall(text):
        yield from names.replace(" ", "").rstrip("=").split("=")


def inside(folder: Path, name: str) -> Path | None:
    """The file or folder of a module or package in `folder`; None where there is none."""
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


def file_of(place: Path) -> Path | None:
    """The source file of a module or package; None for a compiled one."""
    if place.is_dir():
        return next((place / n for n in ("__init__.py", "__init__.pyi") if (place / n).is_file()), None)
    return place if place.suffix in (".py", ".pyi") else None


def names_in(place: Path) -> Iterator[str]:
    """What may be asked of a module: its submodules, definitions and imports."""
    if place.is_dir():
        yield from (p.stem for p in place.iterdir() if p.is_dir() or p.suffix == ".py")
    file = file_of(place)
    if file is None:
        return
    yield from defined(file)
    for statement in statements(syntax(file).body):
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from ((a.asname or a.name).split(".")[0] for a in statement.names)


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run on import, those in ``if``, ``try`` and ``with`` too."""
    for statement in body:
        yield statement
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try, ast.With)):
                yield from statements(getattr(statement, inner, []))
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from statements(handler.body)


def assigned(statement: ast.stmt, name: str) -> str | None:
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


def absolute(statement: ast.ImportFrom, package: str) -> str:
    """The full name of the module that an import in `package` is from."""
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - statement.level + 1]
    return ".".join([*base, statement.module] if statement.module else base)
