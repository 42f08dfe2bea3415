"""Values that fit the syntax and not the meaning: texts for numbers, chances above one, odd windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.finding import Finding
from medseg.bundle.lint.signature import Signature
from medseg.bundle.lint.syntax import SEP
from medseg.bundle.lint.tree import Node

_POSITIVE = ("max_epochs", "batch_size", "sw_batch_size", "num_samples", "val_interval", "interval")
_SHARES = ("prob", "overlap", "dropout", "dropout_prob", "cache_rate", "dropout_rate")
_NOT_NEGATIVE = ("lr", "weight_decay", "num_workers", "learning_rate", "momentum")
_LOOKS_BOOLEAN = ("true", "false")
_NOT_TEXT = frozenset(
    ["int", "float", "bool", "None", "Sequence", "list", "tuple", "List", "Tuple", "Tensor"]
)
_NUMBERS = frozenset(["int", "float", "bool", "None"])


def check_values(config: Config) -> Iterator[Finding]:
    """Numbers outside their range, and a window that does not fit the network."""
    for item_id, node in config.walk():
        key = item_id.rpartition(SEP)[2]
        is_argument = SEP in item_id or key in ("val_interval", "max_epochs", "batch_size", "learning_rate")
        is_number = is_argument and key in (*_POSITIVE, *_SHARES, *_NOT_NEGATIVE)
        if is_number and (why := _out_of_range(key, config.known(item_id))):
            yield Finding(node.file, node.line, item_id, "value", why)
    yield from _window(config)


def _out_of_range(key: str, value: Any) -> str:
    if isinstance(value, str) and _is_number(value):
        return f"{key} is the text {value!r}; YAML takes 1e-4 for a text, and 1.0e-4 for a number"
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    if key in _POSITIVE and value < 1:
        return f"{key} is {value}, which does nothing"
    if (key in _SHARES and not 0 <= value <= 1) or (key == "overlap" and value == 1):
        return f"{key} is {value}, outside 0 to 1"
    return f"{key} is {value}, below 0" if key in _NOT_NEGATIVE and value < 0 else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _window(config: Config) -> Iterator[Finding]:
    dims = config.known(f"network_def{SEP}spatial_dims")
    step = _divisor(config)
    for item_id in ("inferer::roi_size", "validate::inferer::roi_size"):
        size, node = config.known(item_id), config.items.get(item_id)
        if node is None or not isinstance(size, list) or not all(isinstance(n, int) for n in size):
            continue
        if isinstance(dims, int) and len(size) != dims:
            message = f"roi_size has {len(size)} axes, the network has {dims}"
            yield Finding(node.file, node.line, item_id, "window", message)
        elif step > 1 and any(n > 0 and n % step for n in size):
            message = f"roi_size {size} does not divide by {step}, by which the network makes it coarser"
            yield Finding(node.file, node.line, item_id, "window", message)


def _divisor(config: Config) -> int:
    """By what a U-shaped network of MONAI divides its input; 1 where that is not known."""
    target = config.known(f"network_def{SEP}_target_")
    name = target.rpartition(".")[2] if isinstance(target, str) else ""
    strides, blocks = (config.known(f"network_def{SEP}{k}") for k in ("strides", "blocks_down"))
    if name in ("UNet", "Unet", "DynUNet", "DynUnet", "AttentionUnet") and isinstance(strides, list):
        return math.prod(strides) if all(isinstance(s, int) for s in strides) else 1
    return 1 << (len(blocks) - 1) if name == "SegResNet" and isinstance(blocks, list) and blocks else 1


def check_types(
    item_id: str, given: Mapping[str, Node], taken: Signature, config: Config, name: str
) -> Iterator[Finding]:
    """Arguments of a kind that the signature's annotation does not name."""
    for key, node in given.items():
        if not isinstance(node.value, str) and key not in taken.kinds:
            continue
        value = config.known(f"{item_id}{SEP}{key}")
        kinds = taken.kinds.get(key, frozenset())
        if value is not UNKNOWN and (why := _wrong_kind(value, kinds)):
            message = f"{name}({key}=…) is {value!r:.60}: {why}"
            yield Finding(node.file, node.line, f"{item_id}{SEP}{key}", "argument-type", message)


def _wrong_kind(value: Any, kinds: frozenset[str]) -> str:
    if isinstance(value, str) and value[:1] not in ("$", "@", "%"):
        if value.lower() in _LOOKS_BOOLEAN or value == "None":
            return "a text, which counts as true whatever it says; leave the quotation marks out"
        return f"a text where {_told(kinds)} is taken" if kinds and kinds <= _NOT_TEXT else ""
    if kinds == {"str"} and isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number where a text is taken"
    if kinds and kinds <= _NUMBERS and isinstance(value, (dict, list)):
        return f"a {type(value).__name__} where {_told(kinds)} is taken"
    if kinds and kinds <= {"int", "None"} and isinstance(value, float) and not value.is_integer():
        return "a fraction where a whole number is taken"
    return ""


def _told(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
