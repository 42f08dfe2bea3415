"""May this bundle run? A stranger's opens in restricted mode or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from medseg.bundle.lint.check import Bundle
from medseg.bundle.lint.config import Config
from medseg.bundle.lint.expressions import why_not
from medseg.bundle.lint.files import check_large_files, check_logging
from medseg.bundle.lint.finding import Finding, in_order, printable
from medseg.bundle.lint.packages import Definition, Packages
from medseg.bundle.lint.references import check_references
from medseg.bundle.lint.syntax import SEP, normal
from medseg.bundle.lint.tree import Node, SourceError
from medseg.bundle.recorded import digest, recorded_as
from medseg.bundle.restricted.allowed import why_not_mode, why_not_target
from medseg.bundle.restricted.arguments import OUTPUT_IDS, argument_faults
from medseg.bundle.restricted.files import dangerous_files, strange_files
from medseg.bundle.restricted.hazards import hazard
from medseg.bundle.restricted.leash import leash
from medseg.bundle.weights import check_sums
from medseg.errors import BundleError

_DEVICES = re.compile(r"(?<![\w./-])/(dev|proc|sys)/[\w./-]*")
_SHOWN = 5


@dataclass(frozen=True)
class Mode:
    """How a bundle may run.

    Attributes:
        full: True where its expressions and targets run as they stand; False in restricted mode.
        why: the reason, one phrase.
    """

    full: bool
    why: str

    def kept_in(self, output: Path) -> AbstractContextManager[None]:
        """A block in which a bundle in restricted mode writes below `output` alone."""
        return nullcontext() if self.full else leash(output)

    def overrides(self, config_ids: Iterable[str], output: Path) -> dict[str, str]:
        """What to set before building in restricted mode, so that all that is written lies below `output`."""
        places = {"output_dir": output, "ckpt_dir": output / "models"}
        return {} if self.full else {i: str(places[i]) for i in OUTPUT_IDS if i in set(config_ids)}


def check(
    bundle: str | os.PathLike[str], *, trust: bool = False, files: Sequence[Path] | None = None
) -> Mode:
    """How the bundle may run; call it before MONAI reads a config of it, and before anything is built.

    In restricted mode the caller builds from exactly these `files`, applies `Mode.overrides`, runs inside
    `Mode.kept_in(output)` and puts nothing of the bundle on ``sys.path``. In both modes the hashes in
    ``models/SHA256SUMS`` have been compared.

    Args:
        bundle: its folder.
        trust: the user said ``--trust``: full mode for whatever is in it.
        files: the config files that will be merged, in order; by default every config in the bundle.

    Raises:
        BundleError: it is a stranger's and asks for more than restricted mode allows (the message names the
            first reasons with file and line), or a file of ``models/`` is not the recorded one.
    """
    root = Path(bundle)
    if trust:
        check_sums(root)
        return Mode(True, "--trust was given")
    links = list(strange_files(root))
    if not links and (name := recorded_as(digest(root))):
        check_sums(root)
        return Mode(True, f"its hash is recorded as {name}")
    reasons = in_order(links or reasons_against(root, files))
    if reasons:
        shown = "; ".join(f"{f.file}:{f.line} {f.id} {f.message}" for f in reasons[:_SHOWN])
        more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise BundleError(
            printable(f"{root.name} is not a bundle of ours and was not run: {shown}{more}"),
            "in restricted mode only known building blocks, references, literals and arithmetic",
            "read those lines; if you trust whoever made it, say --trust",
        )
    check_sums(root)
    return Mode(False, "restricted: it is not a bundle of ours")


def reasons_against(root: Path, files: Sequence[Path] | None = None) -> Iterator[Finding]:
    """Everything in a bundle that restricted mode refuses."""
    yield from dangerous_files(root)
    try:
        bundle = Bundle(root)
        configs = list(bundle.configs()) if files is None else [_merged(bundle, files)]
    except SourceError as error:
        yield Finding("configs", error.line, "", "unreadable", error.found)
        return
    yield from bundle.unreadable
    yield from check_logging(root)
    yield from (f for f in check_large_files(root) if f.is_error)
    run = None if files is None else {Path(f).resolve() for f in files}
    for path, source in bundle.sources.items():
        for key, line in source.duplicates:
            yield Finding(source.root.file, line, normal(key), "duplicate-key", f"{key} is set twice")
        is_run = run is None or path.resolve() in run
        yield from (_raw if is_run else _hazards)("", source.root)
    yield from _metadata("", bundle.meta)
    for config in configs:
        yield from config.findings
        yield from (f for f in check_references(config) if f.code != "dangling-reference")
        yield from _config(config)


def _hazards(base: str, node: Node) -> Iterator[Finding]:
    """What is hostile in a config that is not going to run: a bundle that holds it is not opened at all."""
    for key, child in node.children():
        item_id = normal(f"{base}{SEP}{key}" if base else key.removeprefix("+"))
        is_target = item_id.rpartition(SEP)[2] == "_target_"
        if why := hazard(child.value, is_target=is_target):
            yield Finding(child.file, child.line, item_id, "hostile", f"{str(child.value)[:80]}: {why}")
        yield from _hazards(item_id, child)


def _merged(bundle: Bundle, files: Sequence[Path]) -> Config:
    known = {p.resolve(): p for p in bundle.sources}
    inside = [known.get(Path(f).resolve()) for f in files]
    config = bundle.merged([f for f in inside if f is not None]) if all(inside) else None
    if config is None:
        raise SourceError(f"{', '.join(str(f) for f in files)} cannot be read as configs of this bundle")
    return config


def _raw(base: str, node: Node) -> Iterator[Finding]:
    """What merging could hide: targets in patch keys, macros into other files, the debugger."""
    for key, child in node.children():
        item_id = normal(f"{base}{SEP}{key}" if base else key.removeprefix("+"))
        last, value = item_id.rpartition(SEP)[2], child.value
        if last == "_target_" and (not isinstance(value, str) or value.startswith(("$", "@", "%"))):
            yield Finding(
                child.file, child.line, item_id, "target", f"_target_ is computed: {str(value)[:80]}"
            )
        elif last == "_target_" and (why := why_not_target(value, Packages())[0]):
            yield Finding(child.file, child.line, item_id, "target", why)
        elif last == "_mode_" and value not in ("default", "callable"):
            yield Finding(child.file, child.line, item_id, "target", f"_mode_ {str(value)[:80]!r}")
        elif ".." in key or "/" in key or "\\" in key:
            # Names of metrics and structures become names of files.
            yield Finding(child.file, child.line, item_id, "key", f"{key[:80]!r} could be part of a path")
        elif (
            isinstance(value, str)
            and value.startswith("%")
            and ".json" in value.lower() + value.lower().replace(".y", ".json")
        ):
            yield Finding(child.file, child.line, item_id, "macro", f"{value[:80]} reads another file")
        elif isinstance(value, str) and (found := _DEVICES.search(value)):
            yield Finding(child.file, child.line, item_id, "device", f"{found[0]} is a place of the system")
        yield from _raw(item_id, child)


def _metadata(base: str, node: Node) -> Iterator[Finding]:
    for key, child in node.children():
        item_id = f"{base}{SEP}{key}" if base else key
        if child.is_component or (isinstance(child.value, str) and child.value[:1] in ("$", "%", "@")):
            yield Finding(
                child.file, child.line, item_id, "metadata", "metadata that MONAI would run as a config"
            )
        yield from _metadata(item_id, child)


def _config(config: Config) -> Iterator[Finding]:
    packages = Packages()
    for item_id, node in config.walk():
        if isinstance(node.value, str) and node.value.startswith("$"):
            if why := why_not(node.value, config):
                message = f"{node.value[:80]}: {why}"
                yield Finding(node.file, node.line, item_id, "expression", message)
        elif node.is_component and isinstance(target := node.value["_target_"].value, str):
            why, found = why_not_target(target, packages)
            if why:
                yield Finding(node.file, node.value["_target_"].line, item_id, "target", why)
            if found is not None:
                yield from _mode(item_id, node, found)
                for child, reason in argument_faults(node, found, config, packages):
                    yield Finding(child.file, child.line, item_id, "argument", reason)


def _mode(item_id: str, node: Node, found: Definition) -> Iterator[Finding]:
    mode = node.value.get("_mode_")
    if mode is not None and (why := why_not_mode(mode.value, found)):
        yield Finding(mode.file, mode.line, item_id, "target", why)
