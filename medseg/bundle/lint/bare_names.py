"""Names of MONAI without a dot, and the modules that define them."""

from __future__ import annotations

import functools
import os

from medseg.bundle.lint.modules import defined, package_folder

_REPLACED = {
    "AddChannel": "EnsureChannelFirst",
    "AsChannelFirst": "EnsureChannelFirst",
    "SplitChannel": "SplitDim",
}
"""What MONAI 1.0 to 1.2 took away, and what does it now; without the ending of a dictionary transform."""


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
                for name in defined(path):
                    found.setdefault(name, []).append(module)
    return found


@functools.cache
def bare_names() -> dict[str, str]:
    """Class and function names of MONAI with their module: what a ``_target_`` without a dot may say."""
    return {name: modules[0] for name, modules in _defining().items()}


def modules_of(name: str) -> tuple[str, ...]:
    """Every module of MONAI that defines a bare name; MONAI takes the one imported first."""
    return tuple(dict.fromkeys(_defining().get(name, ())))


def replaced(name: str) -> str:
    """What does now what this name once did; empty where MONAI took nothing of that name away."""
    old = next((n for n in _REPLACED if name in (n, n + "d", n + "D", n + "Dict")), "")
    return _REPLACED[old] + name[len(old) :] if old else ""
