"""The ids that MONAI's workflows, its command line and MONAI Label look up by name."""

from __future__ import annotations

from collections.abc import Iterator

from medseg.bundle.lint.config import Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.references import used_ids
from medseg.bundle.lint.syntax import SEP
from medseg.bundle.lint.tree import Node

# monai 1.6.1, monai/bundle/properties.py; "run" is what `python -m monai.bundle run` runs.
INFERENCE = ("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer", "run")
TRAIN = (
    "bundle_root",
    "device",
    "dataset_dir",
    "train::trainer",
    "train::trainer::max_epochs",
    "train::dataset",
    "train::inferer",
    "run",
)
RUN_IDS = ("training", "evaluating", "inferring", "inference")
"""What is run where a config has no ``run``, named on the command line, as bundles had it until 2023."""
WELL_KNOWN = frozenset(
    [
        "bundle_root",
        "device",
        "dataset_dir",
        "dataset",
        "evaluator",
        "network_def",
        "inferer",
        "run",
        "initialize",
        "finalize",
        "handlers",
        "preprocessing",
        "postprocessing",
        "key_metric",
        "network",
        "output_dir",
        "ckpt_dir",
        "datalist",
        "val_interval",
        "train",
        "validate",
        "displayable_configs",
        "image_key",
        "load_pretrain",
        "amp",
        "imports",
        "dataloader",
        "labels",
    ]
)


def check_required(config: Config, ids: tuple[str, ...]) -> Iterator[Finding]:
    """Ids that are missing, each with the unused id that is most like it."""
    used = used_ids(config)
    for wanted in ids:
        parent = wanted.rpartition(SEP)[0]
        if wanted in config.items or (parent in ids and parent not in config.items):
            continue
        if parent not in config.items:
            parent = ""
        beside = config.items[parent] if parent else config.root
        names = [f"{parent}{SEP}{k}" if parent else k for k, _ in beside.children()]
        near = nearest(wanted, [n for n in names if n not in used and n not in WELL_KNOWN])
        at = config.items[near].line if near else beside.line if parent else 0
        message = f"the id {wanted}, which MONAI looks up, is missing"
        other = next((i for i in RUN_IDS if i in config.items), "") if wanted == "run" else ""
        if other:
            message += (
                f"; `python -m monai.bundle run {other}` runs it all the same, as bundles had it until 2023"
            )
        severity = "warning" if other else "error"
        yield Finding(config.root.file, at, wanted, "missing-id", message, "" if other else near, severity)


def check_unused(config: Config) -> Iterator[Finding]:
    """Top-level ids that nothing uses and whose name is nearly one that MONAI looks up."""
    used = used_ids(config)
    there = [k for k, _ in config.root.children() if k in used]
    for key, node in config.root.children():
        if key in used or key in WELL_KNOWN or key.startswith("_"):
            continue
        near = _nearly(key, [k for k in WELL_KNOWN if k not in config.root.value])
        if near:
            yield Finding(node.file, node.line, key, "unknown-id", f"nothing uses {key}", near)
        elif _is_setting(node) and len(config.files) == 1:
            yield Finding(
                node.file, node.line, key, "unused-id", f"nothing uses {key}", nearest(key, there), "warning"
            )


def _nearly(key: str, names: list[str]) -> str:
    """The name that is at most two letters away, and nearest; empty where none is."""
    close = [n for n in names if abs(len(n) - len(key)) <= 2 and _letters_apart(n, key) <= 2]
    return nearest(key, close)


def _is_setting(node: Node) -> bool:
    """True for a plain value: a misspelt setting looks so. What is built or evaluated may be a run id."""
    return isinstance(node.value, (int, float, str)) and not str(node.value).startswith(("$", "%"))


def _letters_apart(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
