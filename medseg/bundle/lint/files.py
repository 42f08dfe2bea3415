"""The files around the configs: what must be there, and a logging.conf that only logs."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from medseg.bundle.lint.finding import Finding
from medseg.bundle.lint.source import read_source
from medseg.bundle.lint.tree import SourceError
from medseg.bundle.pickles import pickle_faults

_HANDLERS = ("StreamHandler", "logging.StreamHandler", "NullHandler", "logging.NullHandler")
_FORMATTERS = ("", "logging.Formatter")
_KEYS = frozenset(["keys", "level", "handlers", "formatter", "class", "args", "kwargs", "format", "datefmt"])
_KEYS |= {"style", "validate", "propagate", "qualname", "defaults"}
_LARGEST = 1 << 20
_STREAMS = re.compile(r"\(\s*(sys\.(stdout|stderr)\s*,?\s*)?\)")


def check_layout(root: Path) -> Iterator[Finding]:
    """Files that a bundle must have and that are missing or empty."""
    for name, why in (
        ("LICENSE", "the licence of the bundle"),
        ("docs/README.md", "what it is, its data, its scores and its limits"),
        ("docs/data_license.txt", "the licence of the data it was trained on"),
    ):
        path = root / name
        if not path.is_file() and not (name.startswith("docs") and (root / Path(name).name).is_file()):
            yield Finding(name, 0, "", "missing-file", f"{name} is missing: {why}")
        elif path.is_file() and not _start(path).strip():
            yield Finding(name, 0, "", "empty-file", f"{name} is empty: {why}")
    # The model zoo has bundles to predict with alone; an evaluate config is put on the train config.
    of_train = "warning" if config_file(root, "evaluate") is None else "error"
    for stem, severity in (("inference", "error"), ("train", of_train)):
        if config_file(root, stem) is None:
            message = f"configs/{stem}.yaml or .json is missing"
            message += ": it can't be trained" if severity == "warning" else ""
            yield Finding(f"configs/{stem}.yaml", 0, "", "missing-file", message, severity=severity)
    for stem in ("inference", "train", "evaluate"):
        several = [p.name for p in _config_files(root, stem)]
        if len(several) > 1:
            message = f"{' and '.join(several)} are both there, and which one is read depends on who reads"
            yield Finding(f"configs/{several[-1]}", 0, "", "ambiguous-file", message)
    if not (root / "models" / "model.pt").is_file():
        yield from _no_weights(root)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)


def config_file(root: Path, stem: str) -> Path | None:
    """``configs/STEM.json``, ``.yaml`` or ``.yml``, or None."""
    return next(_config_files(root, stem), None)


def _config_files(root: Path, stem: str) -> Iterator[Path]:
    names = (root / "configs" / f"{stem}{suffix}" for suffix in (".json", ".yaml", ".yml"))
    return (p for p in names if p.is_file())


def check_weights(root: Path) -> Iterator[Finding]:
    """Files of weights that are something else: a pickle that would run code, TorchScript, an LFS pointer."""
    for path in sorted((root / "models").glob("*")):
        if path.suffix.lower() in (".pt", ".pth", ".ckpt") and path.is_file():
            for why in pickle_faults(path):
                yield Finding(f"models/{path.name}", 0, "", "weights", why)


def check_large_files(root: Path) -> Iterator[Finding]:
    """Downloads that a bundle asks for with no hash, without https, or to a place outside of it.

    medseg never downloads them; MONAI's `download_large_files` and the model zoo's checks do.
    """
    for name in ("large_files.yml", "large_files.yaml", "large_files.json"):
        if not (root / name).is_file():
            continue
        try:
            source = read_source(root / name, name)
        except SourceError as error:
            yield Finding(name, error.line, "", "unreadable", error.found)
            continue
        listed = source.root.value.get("large_files")
        if listed is None or not isinstance(listed.value, list):
            yield Finding(name, 1, "", "large-files", "large_files is no list")
            continue
        for i, node in enumerate(listed.value):
            entry = node.plain() if isinstance(node.value, dict) else {}
            for why, severity in _large_file(entry):
                yield Finding(name, node.line, f"large_files::{i}", "large-files", why, severity=severity)


def _large_file(entry: dict[str, object]) -> Iterator[tuple[str, str]]:
    path, url = str(entry.get("path", "")), str(entry.get("url", ""))
    if not path or Path(path).is_absolute() or ".." in re.split(r"[\\/]", path) or path[1:2] == ":":
        yield f"path {path[:80]!r} does not lie in the bundle", "error"
    if not url.startswith("https://"):
        yield f"url {url[:80]!r} is not https", "error"
    if not entry.get("hash_val"):
        yield f"{path[:80]} has no hash_val, so whatever is downloaded is taken", "warning"


def _no_weights(root: Path) -> Iterator[Finding]:
    for name in ("large_files.yml", "large_files.yaml", "large_files.json"):
        if (root / name).is_file() and b"models/model.pt" in _start(root / name):
            message = f"models/model.pt is named in {name} but not downloaded"
            yield Finding("models/model.pt", 0, "", "missing-file", message, severity="warning")
            return
    yield Finding("models/model.pt", 0, "", "missing-file", "models/model.pt, the weights, is missing")


def check_logging(root: Path) -> Iterator[Finding]:
    """Anything in configs/logging.conf but formats, levels and handlers that print.

    `logging.config.fileConfig` evaluates ``class=`` and ``args=``, opens files and sockets, imports names.
    """
    for path in sorted(p for p in (root / "configs").iterdir() if p.suffix.lower() == ".conf"):
        name = str(path.relative_to(root))
        if not path.is_file() or path.stat().st_size > _LARGEST:
            yield Finding(name, 0, "", "logging-conf", "it is no ordinary file of ordinary size")
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        parser = configparser.RawConfigParser(strict=True)
        try:
            parser.read_string(text)
        except configparser.Error as error:
            yield Finding(name, 0, "", "logging-conf", f"it cannot be read ({str(error).splitlines()[0]})")
            continue
        for section in parser.sections():
            for key, value in parser.items(section):
                if why := _more_than_logging(section, key, value.strip()):
                    line = _line(text, section, key)
                    yield Finding(name, line, section, "logging-conf", f"{key}={value}: {why}")


def _more_than_logging(section: str, key: str, value: str) -> str:
    if section.startswith("handler_"):
        if key == "class" and value not in _HANDLERS:
            return "a handler may only print (StreamHandler) or be silent (NullHandler)"
        if key == "args" and not _STREAMS.fullmatch(value):
            return "the arguments of a handler may only be (sys.stdout,) or (sys.stderr,)"
        if key == "kwargs" and not _is_literal(value):
            return "the arguments of a handler may only be literals"
    if section.startswith("formatter_") and key == "class" and value not in _FORMATTERS:
        return "a formatter may not name a class"
    return "" if key in _KEYS else "a key that logging does not know"


def _is_literal(value: str) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _line(text: str, section: str, key: str) -> int:
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("["):
            inside = line.strip() == f"[{section}]"
        elif inside and re.match(rf"{re.escape(key)}\s*[=:]", line.strip(), re.IGNORECASE):
            return number
    return 0
