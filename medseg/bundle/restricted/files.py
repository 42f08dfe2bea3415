"""Files that a bundle in restricted mode may not have: links, devices, code and pickles."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from medseg.bundle.lint.finding import Finding
from medseg.bundle.pickles import pickle_faults

_CODE = (".py", ".pyc", ".pyw", ".pyx", ".so", ".pyd", ".dll", ".dylib", ".sh", ".bat", ".egg", ".whl")
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin")
_MOST_FILES = 20_000
_DEEPEST = 40


def strange_files(root: Path) -> Iterator[Finding]:
    """Links, devices, pipes, and more files than a bundle has."""
    for count, path in enumerate(_walk(root)):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Finding(name, 0, "", "file", f"a link to {os.readlink(path)}")
        elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            yield Finding(name, 0, "", "file", "neither a file nor a folder")
        if len(path.relative_to(root).parts) > _DEEPEST:
            yield Finding(name[:80], 0, "", "file", f"folders nested more than {_DEEPEST} deep")
            return
        if count > _MOST_FILES:
            yield Finding(name, 0, "", "file", f"more than {_MOST_FILES} files")
            return


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=False):
        yield from (Path(folder, name) for name in [*folders, *names])


def dangerous_files(root: Path) -> Iterator[Finding]:
    """Code, and pickles that may run some."""
    if (root / "scripts").is_dir():
        yield Finding("scripts", 0, "", "code", "a scripts folder")
    for path in _walk(root):
        name, suffix = str(path.relative_to(root)), path.suffix.lower()
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        if suffix in _CODE:
            yield Finding(name, 0, "", "code", "code in the bundle")
        elif suffix in _PICKLES:
            yield Finding(name, 0, "", "pickle", "a pickle, which may run code when it is read")
        elif suffix in _WEIGHTS:
            yield from (Finding(name, 0, "", "pickle", why) for why in pickle_faults(path))
