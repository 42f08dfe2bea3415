"""What has to agree: train and inference in what both define, a saver with the metrics that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.syntax import SEP
from medseg.bundle.lint.tree import Node

NETWORK = "network_def"
OURS = ("labels", "spacing_mm", "preprocessing")
"""What bundles written for medseg repeat in both files; elsewhere these names mean something else in each."""
_ONLY_TRAINING = ("pretrained", "drop", "use_checkpoint", "progress")
"""How arguments of a network begin that mean nothing once it is trained."""
_METRICS = ("key_metric", "key_val_metric", "key_train_metric", "additional_metrics")


def check_agreement(inference: Config, train: Config, *, is_ours: bool) -> Iterator[Finding]:
    """Where the network, or in our bundles what surrounds it, is one thing in training and another in use."""
    for item_id in (NETWORK, *(OURS if is_ours else ())):
        if item_id in inference.items and item_id in train.items:
            yield from _differences(item_id, inference, train)


def _differences(item_id: str, one: Config, two: Config) -> Iterator[Finding]:
    ids = {
        i: None for config in (one, two) for i in config.items if i == item_id or i.startswith(item_id + SEP)
    }
    for inner in ids:
        if inner.rpartition(SEP)[2].startswith(_ONLY_TRAINING):
            continue
        a, b = _plain(inner, one), _plain(inner, two)
        if UNKNOWN not in (a, b) and a != b:
            node = one.items.get(inner) or one.items[item_id]
            message = f"it is {_told(a)} here and {_told(b)} in {two.root.file}"
            yield Finding(node.file, node.line, inner, "train-differs", message)


class _Absent:
    pass


def _plain(item_id: str, config: Config) -> Any:
    """The value of a leaf; whether it is there for what holds others; `UNKNOWN` where only running tells."""
    node = config.items.get(item_id)
    if node is None:
        return _Absent
    if isinstance(node.value, (dict, list)):
        return type(node.value).__name__
    known = config.known(item_id)
    return node.value if known is UNKNOWN else known


def _told(value: Any) -> str:
    return "missing" if value is _Absent else repr(value)[:60]


def check_metrics(config: Config) -> Iterator[Finding]:
    """A metric that a saver is asked for and no engine computes: MONAI writes nothing and does not say so."""
    names = {
        key
        for item_id, node in config.items.items()
        if item_id.rpartition(SEP)[2] in _METRICS and isinstance(node.value, dict) and not node.is_component
        for key, _ in node.children()
    }
    for item_id, node in config.walk():
        if names and node.is_component and str(node.value["_target_"].value).endswith("MetricsSaver"):
            for key in ("metrics", "metric_details"):
                yield from _unknown(f"{item_id}{SEP}{key}", node.value.get(key), names)


def _unknown(item_id: str, asked: Node | None, names: set[str]) -> Iterator[Finding]:
    if asked is None:
        return
    for node in asked.value if isinstance(asked.value, list) else [asked]:
        name = node.value
        if isinstance(name, str) and name not in names and name[:1] not in ("*", "$", "@", "%", ":"):
            message = f"there is no metric {name}; there are {', '.join(sorted(names))}"
            near = nearest(name, names)
            yield Finding(node.file, node.line, item_id, "unknown-metric", message, near, "warning")
