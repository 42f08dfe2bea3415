"""Weights: read without running code, and only if they are the recorded ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.bundle.pickles import pickle_faults
from medseg.errors import BundleError
from medseg.hashes import file_hash

if TYPE_CHECKING:
    import torch

SUMS = "SHA256SUMS"
_LARGEST_LIST = 16 << 20


def read_sums(root: Path) -> dict[str, str]:
    """File name to sha256 from ``models/SHA256SUMS``; empty where the bundle has no such list.

    Raises:
        BundleError: a line is not ``<64 hexadecimal digits>  <name>``, or a name leads out of ``models/``.
    """
    return _read_list(root / "models" / SUMS)


def _read_list(place: Path) -> dict[str, str]:
    if not place.is_file():
        return {}
    if place.stat().st_size > _LARGEST_LIST:
        raise BundleError(
            f"{place} has {place.stat().st_size} bytes", "a list of hashes", "write it with sha256sum"
        )
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


def has_sums(root: Path) -> bool:
    """True where the bundle has ``models/SHA256SUMS``; an empty one says that no weights belong to it."""
    return (root / "models" / SUMS).is_file()


def check_sums(root: Path, *, required: bool = False) -> int:
    """How many files of ``models/`` were compared with ``models/SHA256SUMS``; 0 where there is no list.

    Args:
        root: the bundle.
        required: a missing list is an error.

    Raises:
        BundleError: a listed file is missing or has another hash, or weights are not listed.
    """
    sums = read_sums(root)
    if not has_sums(root):
        if required:
            raise BundleError(
                f"no {SUMS} in {root / 'models'}",
                "the sha256 of every file there",
                "say `medseg verify BUNDLE --sums` if the bundle is your own",
            )
        return 0
    for name in sums:
        check_listed(root / "models" / name, root, sums)
    for path in sorted((root / "models").iterdir()):
        if path.is_file() and path.suffix.lower() in _WEIGHTS:
            check_listed(path, root, sums)
    return len(sums)


def check_listed(path: Path, root: Path, sums: dict[str, str] | None = None) -> None:
    """Return where a file of ``models/`` is the one that its list names, or where there is no list.

    Raises:
        BundleError: it is missing, is not listed, or has another hash.
    """
    sums = read_sums(root) if sums is None else sums
    folder = (root / "models").resolve()
    if not has_sums(root) or not path.resolve().is_relative_to(folder):
        return
    hash_ = sums.get(path.resolve().relative_to(folder).as_posix())
    if not path.is_file():
        raise BundleError(f"{path} is missing", f"it is listed in {SUMS}", "fetch the bundle again")
    if hash_ is None:
        raise BundleError(
            f"{path} is not listed in {SUMS}",
            "every file of weights",
            "fetch the bundle again; if it is your own say `medseg verify BUNDLE --sums`",
        )
    if (found := file_hash(path)) != hash_:
        raise BundleError(
            f"{path} has sha256 {found}",
            f"{hash_} as in {SUMS}",
            "fetch the bundle again; if the weights are your own say `medseg verify BUNDLE --sums`",
        )


_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


def write_sums(root: Path) -> None:
    """``models/SHA256SUMS`` for every file of ``models/``, then ``SHA256SUMS`` for every file of the bundle.

    Both as `sha256sum` writes them, and read by `sha256sum -c` in their own folder.
    """
    if (root / "models").is_dir():
        _write_list(root / "models", (p for p in (root / "models").rglob("*") if p.is_file()))
    _write_list(root, files_of(root))


def _write_list(folder: Path, files: Iterable[Path]) -> None:
    place = folder / SUMS
    names = sorted(p.relative_to(folder).as_posix() for p in files if p != place)
    part = folder / f".{SUMS}.part"
    part.write_text("".join(f"{file_hash(folder / n)}  {n}\n" for n in names), encoding="utf-8")
    part.replace(place)


_RESULTS = ("eval", "runs", "__pycache__", ".git")


def files_of(root: Path) -> Iterator[Path]:
    """Every ordinary file of a bundle but its list of hashes and what its runs have written."""
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = [f for f in folders if f not in _RESULTS]
        paths = (Path(folder, n) for n in names)
        yield from (p for p in paths if p != root / SUMS and stat.S_ISREG(p.lstat().st_mode))


def changed_files(root: Path) -> list[str]:
    """How the bundle differs from its list of every file, a line each; empty where it does not."""
    listed = _read_list(root / SUMS)
    there = {p.relative_to(root).as_posix(): p for p in files_of(root)}
    found = [f"{name} is missing" for name in listed if name not in there]
    found += [f"{name} is not listed" for name in there if name not in listed]
    same = [name for name in there if name in listed]
    return sorted([*found, *(f"{n} is changed" for n in same if file_hash(there[n]) != listed[n])])


def load_weights(path: Path, *, map_location: Any = "cpu") -> dict[str, torch.Tensor]:
    """The state dict of a ``.safetensors`` or PyTorch file; no code in it runs.

    Raises:
        BundleError: it is missing, is TorchScript or an archive of another kind, would run code, or holds
            something else than tensors by name.
    """
    state = read_weights(path, map_location)
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


def read_weights(path: Path, map_location: Any = "cpu") -> Any:
    """What a file of weights holds, whatever it is; no code in it runs.

    Raises:
        BundleError: it is missing, damaged, TorchScript, or would run code.
    """
    import pickle

    import torch

    if not path.is_file():
        raise BundleError(f"no weights at {path}", "a state dict", "train the bundle or fetch its weights")
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
