"""Every fault of a bundle that can be seen without running it, all at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from medseg.bundle.archives import demand_folder
from medseg.bundle.lint.agreement import check_agreement, check_metrics
from medseg.bundle.lint.config import SUFFIXES, Config
from medseg.bundle.lint.expressions import why_not
from medseg.bundle.lint.files import (
    check_large_files,
    check_layout,
    check_logging,
    check_weights,
    config_file,
)
from medseg.bundle.lint.finding import Finding, in_order, independent
from medseg.bundle.lint.metadata import Metadata
from medseg.bundle.lint.packages import Packages
from medseg.bundle.lint.preprocessing import check_keys, check_labels_stay_labels, check_same_input
from medseg.bundle.lint.references import check_references, dangling
from medseg.bundle.lint.required import INFERENCE, TRAIN, check_required, check_unused
from medseg.bundle.lint.scores import check_activation, check_scores
from medseg.bundle.lint.source import MAX_BYTES, read_source
from medseg.bundle.lint.syntax import normal
from medseg.bundle.lint.targets import check_targets
from medseg.bundle.lint.tree import Node, Source, SourceError
from medseg.bundle.lint.values import check_values
from medseg.bundle.lint.wiring import check_evaluation, check_wiring
from medseg.errors import BundleError

_LOOKS_LIKE_CONFIG = re.compile(
    r"_target_|\\(u00|x)(24|25|40|5[fF])|[\"'\s\[{:]\$[\w@\[(]|[\"'\s]@\w|^\s*[\"']?\+?\w+(#|::)\w",
    re.MULTILINE,
)


def lint(bundle: str | os.PathLike[str]) -> list[Finding]:
    """Every fault of the bundle in a folder, by file and line; nothing is built, imported or downloaded.

    Raises:
        BundleError: there is no bundle.
    """
    return in_order(Bundle(Path(bundle)).findings())


class Bundle:
    """The config files of a bundle, parsed once.

    Args:
        root: its folder.

    Raises:
        BundleError: the folder has no ``configs``.
    """

    def __init__(self, root: Path) -> None:
        demand_folder(root)
        if not (root / "configs").is_dir():
            raise BundleError(
                f"no bundle at {root}", "a folder that holds configs/", "give the bundle's own folder"
            )
        self.root = root
        self.unreadable: list[Finding] = []
        self.sources: dict[Path, Source] = {}
        for path in sorted((root / "configs").iterdir()):
            if path.suffix.lower() in SUFFIXES:
                self._read(path)
        self.meta_path = root / "configs" / "metadata.json"
        missing = Source(Node({}, 0, "configs/metadata.json"))
        self.meta = self.sources.pop(self.meta_path, missing).root

    def _read(self, path: Path) -> None:
        name = f"configs/{path.name}"
        if not path.is_file():
            self.unreadable.append(Finding(name, 0, "", "unreadable", f"{name} is no ordinary file"))
            return
        try:
            known = path.name == "metadata.json" or path.stem in ("train", "inference", "evaluate")
            is_large = path.stat().st_size > MAX_BYTES  # which read_source says
            if (
                known
                or is_large
                or _LOOKS_LIKE_CONFIG.search(path.read_text(encoding="utf-8", errors="replace"))
            ):
                self.sources[path] = read_source(path, name)
        except (SourceError, OSError) as error:
            line = getattr(error, "line", 0)
            self.unreadable.append(Finding(name, line, "", "unreadable", getattr(error, "found", str(error))))

    def config(self, *stems: str) -> Config | None:
        """The merged config of ``configs/STEM.*``, in the order given; None where one cannot be read."""
        files = [config_file(self.root, stem) for stem in stems]
        return self.merged([f for f in files if f is not None]) if all(files) else None

    def merged(self, files: Sequence[Path]) -> Config | None:
        """The merged config of some files; None where one is unreadable."""
        if not all(f in self.sources for f in files):
            return None
        return Config(self.root, files, {f: s.root for f, s in self.sources.items()}, self.meta)

    def configs(self) -> Iterator[Config]:
        """A config for each file: alone, or on the base with which the fewest of its references dangle."""
        for path in self.sources:
            bases = (
                [()]
                if path.stem in ("train", "inference")
                else [(), ("train",), ("train", "evaluate"), ("inference",)]
            )
            chains = []
            for stems in bases:
                below = [config_file(self.root, s) for s in stems]
                if all(b is not None and b != path for b in below):
                    chains.append([*(b for b in below if b is not None), path])
            merged = [c for c in (self.merged(chain) for chain in chains) if c is not None]
            if merged:
                yield min(merged, key=lambda c: len(c.findings) + dangling(c))

    def findings(self) -> Iterator[Finding]:
        """Every fault, in no order, some twice."""
        yield from self.unreadable
        yield from check_layout(self.root)
        yield from check_logging(self.root)
        yield from check_large_files(self.root)
        yield from check_weights(self.root)
        if self.meta.line == 0 and not any(f.file.endswith("metadata.json") for f in self.unreadable):
            yield Finding("configs/metadata.json", 0, "", "missing-file", "configs/metadata.json is missing")
        for source in [*self.sources.values()]:
            for key, line in source.duplicates:
                yield Finding(
                    source.root.file,
                    line,
                    normal(key),
                    "duplicate-key",
                    f"{key} is set twice; the last one counts",
                )
        try:
            usable = sorted(self.configs(), key=lambda c: c.name != "inference")
        except SourceError as error:
            yield Finding("configs", error.line, "", "unreadable", error.found)
            return
        broken = [*self.unreadable, *(f for config in usable for f in self._parts(config))]
        yield from broken
        yield from independent(self._meaning(usable), broken)
        if self.meta.line:
            yield from Metadata(self.meta, [c for c in usable if c.name in ("inference", "train")]).check()

    def _parts(self, config: Config) -> Iterator[Finding]:
        """What is broken in a config by itself: names, references, expressions."""
        packages = Packages(self.root if (self.root / "scripts").is_dir() else None)
        ours = _names_medseg(config)
        yield from config.findings
        yield from check_references(config)
        yield from check_targets(config, packages)
        for item_id, node in config.walk():
            is_expression = isinstance(node.value, str) and node.value.startswith("$")
            if is_expression and (why := why_not(node.value, config, ordinary=not ours)):
                message = f"{node.value[:120]} is outside the allowed $ expressions: {why}"
                yield Finding(node.file, node.line, item_id, "expression", message)
        if config.name in ("inference", "train"):
            yield from check_required(config, INFERENCE if config.name == "inference" else TRAIN)
        yield from check_unused(config)
        yield from check_keys(config)

    def _meaning(self, usable: list[Config]) -> Iterator[Finding]:
        """What every name and reference fits, and what is wrong all the same."""
        for config in usable:
            if config.name in ("inference", "train"):
                yield from check_wiring(config)
                yield from check_scores(config)
                yield from check_labels_stay_labels(config)
            elif config.name.endswith("+evaluate"):
                yield from check_evaluation(config)
            yield from check_values(config)
            yield from check_metrics(config)
        named = {c.name: c for c in usable}
        if "inference" in named and "train" in named:
            inference, train = named["inference"], named["train"]
            yield from check_agreement(inference, train, is_ours=any(map(_names_medseg, usable)))
            yield from check_activation(inference, train)
            yield from check_same_input(inference, train)


def _names_medseg(config: Config) -> bool:
    """True for a bundle written for medseg, which is held to the house rules: no imports, no loops."""
    return any(
        n.is_component and str(n.value["_target_"].value).startswith("medseg.") for _, n in config.walk()
    )
