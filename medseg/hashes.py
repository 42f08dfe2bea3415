"""The hash of a file, which says whether it is the very one that somebody meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """The hash of a file in hexadecimal, read block by block."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
