"""A hash of what a transform does: its class, its arguments and its code, but not its chance."""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

_LIBRARIES = ("monai", "torch", "numpy", "builtins")
_PRINTED = (
    *(bool, int, float, complex, str, bytes, slice, range),
    *(torch.dtype, torch.device, enum.Enum, np.generic, np.dtype, Path),
)
_CHANCE = ("R", "rand", "_do_transform", "log_stats", "_version_counter")


def fingerprint(thing: Any) -> str:
    """A SHA-256 that changes when an argument, a nested transform, code of ours or MONAI's version does.

    Walks attributes, so that two transforms built with equal arguments have equal fingerprints in every
    process. Classes and functions outside MONAI, torch and numpy count with their source.
    """
    digest = hashlib.sha256()
    _add(digest, (monai.__version__, torch.__version__, np.__version__))
    _add(digest, thing)
    return digest.hexdigest()


def _add(digest: Any, thing: Any, above: tuple[int, ...] = ()) -> None:
    digest.update(f"<{type(thing).__module__}.{type(thing).__qualname__}>".encode())
    if id(thing) in above:
        return  # an object that holds itself
    inside = (*above, id(thing))
    if thing is None or isinstance(thing, _PRINTED):
        digest.update(repr(thing).encode())
    elif isinstance(thing, (np.ndarray, torch.Tensor)):
        array = np.asarray(thing)
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _add(digest, key, inside)
            _add(digest, value, inside)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            _add(digest, value, inside)
    elif isinstance(thing, (set, frozenset)):
        digest.update("".join(sorted(map(repr, thing))).encode())
    else:
        _add_code(digest, thing, inside)


def _add_code(digest: Any, thing: Any, above: tuple[int, ...]) -> None:
    if isinstance(thing, functools.partial):
        _add(digest, (thing.func, thing.args, thing.keywords), above)
    elif isinstance(thing, types.MethodType):
        _add(digest, (thing.__func__, thing.__self__), above)
    elif isinstance(thing, (types.FunctionType, types.BuiltinFunctionType, type)):
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        if str(thing.__module__).split(".")[0] not in _LIBRARIES:
            digest.update(_source(thing))
        if isinstance(thing, types.FunctionType):
            cells = [cell.cell_contents for cell in thing.__closure__ or ()]
            _add(digest, (thing.__defaults__, cells), above)
    else:
        _add(digest, type(thing), above)
        attributes = getattr(thing, "__dict__", {})
        _add(digest, {k: v for k, v in sorted(attributes.items()) if k not in _CHANCE}, above)


def _source(thing: Any) -> bytes:
    try:
        return inspect.getsource(thing).encode()
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return bytes(code.co_code) + repr(code.co_consts).encode() if code else b""
