"""What no bundle that means well says anywhere: looked for even in configs that are not going to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_NAMES = frozenset(
    [
        "eval",
        "exec",
        "open",
        "globals",
        "locals",
        "vars",
        "breakpoint",
        "system",
        "popen",
        "Popen",
        "check_call",
        "check_output",
        "getoutput",
        "spawn",
        "fork",
        "execv",
        "execve",
        "urlopen",
        "urlretrieve",
        "rmtree",
        "unlink",
        "import_module",
        "load_inline",
        "run_cmd",
    ]
)
_MODULES = frozenset(
    [
        "subprocess",
        "socket",
        "shutil",
        "ctypes",
        "importlib",
        "builtins",
        "pickle",
        "cloudpickle",
        "dill",
        "joblib",
        "marshal",
        "shelve",
        "runpy",
        "pty",
        "pdb",
        "requests",
        "urllib",
        "http",
        "ftplib",
        "smtplib",
        "telnetlib",
        "paramiko",
        "webbrowser",
        "antigravity",
        "posix",
        "nt",
    ]
)


def hazard(value: object, *, is_target: bool) -> str:
    """Why a value of a config is hostile; empty where it is merely unusual.

    Args:
        value: any value of a config.
        is_target: it stands under ``_target_``.
    """
    if not isinstance(value, str):
        return ""
    if is_target and not value.startswith(("$", "@", "%")):
        return next((f"it names {p}" for p in value.split(".") if p in _NAMES | _MODULES or p == "os"), "")
    if not value.startswith("$"):
        return ""
    try:
        tree = ast.parse(value[1:].strip().replace("@", "_ref_").replace("::", "_").replace("#", "_"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "no valid expression"
    return next(_in(tree), "")


def _in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names]
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            yield from (f"it imports {m}" for m in modules if m.split(".")[0] in _MODULES)
            yield from (f"it imports {n}" for n in names if n in _NAMES)
        elif isinstance(node, (ast.Attribute, ast.Name)):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name.startswith("__") and name.endswith("__"):
                yield f"it walks attributes by {name}"
            if name in _NAMES or name in _MODULES:
                yield f"it uses {name}"
