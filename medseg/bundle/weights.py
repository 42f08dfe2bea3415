"""Weights: read without running code, and only if they are the recorded ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.bundle.pickles import pickle_faults
from medseg.errors import BundleError

if TYPE_CHECKING:
    import torch

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()


def read_sums(root: Path) -> dict[str, str]:
    """File name to sha256 from ``models/SHA256SUMS``; empty where the bundle has no such list.

    Raises:
        BundleError: a line is not ``<64 hexadecimal digits>  <name>``, or a name leads out of ``models/``.
    """
    place = root / "models" / SUMS
    if not place.is_file():
        return {}
    sums: dict[str, str] = {}
    for number, line in enumerate(place.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        hash_, _, name = line.strip().partition(" ")
        name = name.strip().removeprefix("*")
        if not line.strip():
            continue
        is_hash = len(hash_) == 64 and all(c in "0123456789abcdef" for c in hash_.lower())
        if not is_hash or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(
                f"{place}:{number} reads {line[:80]!r}", "a sha256 and a file name", "write it with sha256sum"
            )
        sums[name] = hash_.lower()
    return sums


def check_sums(root: Path, *, required: bool = False) -> int:
    """How many files of ``models/`` were compared with ``models/SHA256SUMS``; 0 where there is no list.

    Args:
        root: the bundle.
        required: a missing list is an error.

    Raises:
        BundleError: a listed file is missing or has another hash, or a file that can be loaded is not listed.
    """
    sums = read_sums(root)
    if not sums:
        if required:
            raise BundleError(
                f"no {SUMS} in {root / 'models'}",
                "the sha256 of every file there",
                "say `medseg verify --sums`",
            )
        return 0
    for name, hash_ in sums.items():
        path = root / "models" / name
        if not path.is_file():
            raise BundleError(f"{path} is missing", f"it is listed in {SUMS}", "fetch the bundle again")
        if (found := file_sha256(path)) != hash_:
            raise BundleError(
                f"{path} has sha256 {found}", f"{hash_} as in {SUMS}", "fetch the bundle again; do not use it"
            )
    for path in sorted((root / "models").iterdir()):
        if path.is_file() and path.name != SUMS and path.name not in sums and path.suffix in _LOADABLE:
            raise BundleError(
                f"{path} is not listed in {SUMS}", "every file of weights", "fetch the bundle again"
            )
    return len(sums)


_LOADABLE = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".ts", ".onnx")


def write_sums(root: Path) -> Path:
    """``models/SHA256SUMS`` for every file of ``models/``, as `sha256sum` writes it.

    Returns:
        Its path.
    """
    folder = root / "models"
    names = sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != SUMS
    )
    part = folder / f"{SUMS}.part"
    part.write_text(
        "".join(f"{file_sha256(folder / n)}  {n}\n" for n in names if n != part.name), encoding="utf-8"
    )
    part.replace(folder / SUMS)
    return folder / SUMS


def load_weights(path: Path, *, map_location: Any = "cpu") -> dict[str, torch.Tensor]:
    """The state dict of a ``.safetensors`` or PyTorch file; no code in it runs.

    Raises:
        BundleError: it is missing, is TorchScript or an archive of another kind, would run code, or holds
            something else than tensors by name.
    """
    if not path.is_file():
        raise BundleError(f"no weights at {path}", "a state dict", "train the bundle or fetch its weights")
    state = _read(path, map_location)
    import torch

    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        kinds = (
            sorted({type(v).__name__ for v in state.values()})
            if isinstance(state, dict)
            else type(state).__name__
        )
        raise BundleError(
            f"{path} holds {kinds}", "a plain state dict: tensors by name", "save network.state_dict()"
        )
    return state


def _read(path: Path, map_location: Any) -> Any:
    import pickle

    import torch

    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path, device=str(map_location))
        except SafetensorError as error:
            raise BundleError(
                f"{path} is damaged: {error}", "a safetensors file", "fetch it again"
            ) from error
    faults = list(pickle_faults(path))
    if faults:
        raise BundleError(
            f"{path}: {'; '.join(faults)}", "tensors alone", "do not load it; ask for safetensors"
        )
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{path} cannot be read as weights: {text}", "a state dict", "fetch it again"
        ) from error
