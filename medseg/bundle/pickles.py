"""What a PyTorch file would do when unpickled, told from its opcodes; nothing is unpickled.

A second line in front of ``torch.load(weights_only=True)``: it names the reason, and needs no torch.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_ALLOWED = re.compile(
    r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_\w+|torch\.(\w*Storage|Size|device|dtype)"
    r"|torch\.storage\.\w*Storage|torch\.nn\.parameter\.(Parameter|Buffer)"
    r"|torch\.(float|int|uint|bfloat|complex|q?u?int)\d+|torch\.(bool|half|double|long|short|float|int)"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.serialization\._get_layout|torch\.Tensor|_codecs\.encode"
    r"|(numpy|numpy\._core\.multiarray|numpy\.core\.multiarray)\.(dtype|scalar|_reconstruct|ndarray)"
    r"|numpy\.dtypes\.\w+DType"
)
_MOST = 2_000_000
_LARGEST_PICKLE = 256 << 20


def pickle_faults(path: Path) -> Iterator[str]:
    """Why a ``.pt`` file is not weights alone: each global beyond tensors, TorchScript, a bomb, no pickle."""
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"PK":
        yield from _zipped(path)
    elif head[:1] == b"\x80":
        yield from _legacy(path)
    elif head == b"vers" and b"git-lfs" in path.read_bytes()[:200]:
        yield "it is a Git LFS pointer, the weights were not downloaded"
    else:
        yield "it is no PyTorch file"


def _zipped(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.infolist()
            if any("/code/" in n.filename or n.filename.endswith("constants.pkl") for n in names):
                yield "it is TorchScript, which is code"
                return
            outside = [n.filename for n in names if n.filename[:1] == "/" or ".." in n.filename.split("/")]
            if outside:
                yield f"it holds {outside[0][:80]}, which leads outside"
                return
            if sum(n.file_size for n in names) > 4 * path.stat().st_size + (1 << 20):
                yield "it unpacks to far more than its size"
                return
            pickles = [n for n in names if n.filename.endswith(".pkl")]
            if not pickles:
                yield "it is no PyTorch file"
            for entry in pickles:
                if entry.file_size > _LARGEST_PICKLE:
                    yield f"{entry.filename} has {entry.file_size} bytes"
                    continue
                yield from globals_refused(packed.read(entry))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        yield f"it is damaged ({error})"


def _legacy(path: Path) -> Iterator[str]:
    """The old format: five pickles one after the other, then the raw storages."""
    with path.open("rb") as file:
        for _ in range(5):
            start = file.tell()
            head = file.read(2)
            file.seek(start)
            if head[:1] != b"\x80":
                return
            yield from globals_refused(file)


def globals_refused(data: bytes | IO[bytes]) -> Iterator[str]:
    """Each global of a pickle that tensors do not need; and what makes it unreadable."""
    seen: set[str] = set()
    try:
        for name in _globals(data):
            if name not in seen and not _ALLOWED.fullmatch(name):
                yield f"unpickling it would call {name}"
            seen.add(name)
    except ValueError as error:
        yield f"its pickle is damaged ({error})"


def _globals(data: bytes | IO[bytes]) -> Iterator[str]:
    strings: list[str] = []
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > _MOST:
            raise ValueError("more than two million operations")
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            # Which strings lie on the stack here can be disguised, and torch.save never writes this opcode.
            yield ".".join(strings[-2:]) + " (named by the stack)"
        elif opcode.name.startswith("EXT"):
            yield f"extension {argument}"
        elif "UNICODE" in opcode.name or "STRING" in opcode.name:
            strings.append(str(argument))
