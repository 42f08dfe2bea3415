"""What metadata.json says of a network's tensors and of itself, where the schema takes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.syntax import SEP
from medseg.bundle.lint.tree import Node

_DTYPES = frozenset(["bool", "float", "int", "half", "double", "bfloat16", "string", "complex64"])
_DTYPES |= {f"{kind}{bits}" for kind in ("float", "int", "uint") for bits in (8, 16, 32, 64)} - {"float8"}
_TYPES = frozenset(["image", "series", "tuples", "probabilities"])
_FORMATS = frozenset(["magnitude", "hounsfield", "kspace", "raw", "labels", "classes", "segmentation"])
_FORMATS |= {"points", "label", "probability", "normalized", "normalised", "mask", "rgb", "multichannel"}
_SHARES = ("dice", "iou", "jaccard", "accuracy", "sensitivity", "specificity", "precision", "recall")
_TOLD = ("task", "description", "authors", "copyright")


def check_tensor(name: str, tensor: Mapping[str, Node], *, is_input: bool) -> Iterator[Finding]:
    """Number type, range, kind and channel names of one tensor that no network could have."""
    dtype = _text(tensor, "dtype")
    if dtype and dtype not in _DTYPES:
        yield _fault(
            tensor["dtype"], f"{name}::dtype", f"{dtype!r} is no number type", nearest(dtype, _DTYPES)
        )
    elif is_input and dtype.startswith(("int", "uint")):
        yield _fault(tensor["dtype"], f"{name}::dtype", f"a network takes fractions, {dtype} has none")
    limits = tensor.get("value_range")
    found = limits.plain() if limits is not None else []
    if limits is not None and isinstance(found, list) and len(found) == 2 and not _is_range(found):
        yield _fault(limits, f"{name}::value_range", f"value_range {found} does not go from low to high")
    elif limits is not None and isinstance(found, list) and len(found) not in (0, 2):
        told = f"value_range has {len(found)} numbers, not a low and a high one"
        yield _fault(limits, f"{name}::value_range", told, severity="warning")
    for key, known in (("type", _TYPES), ("format", _FORMATS)):
        text = _text(tensor, key)
        near = nearest(text, known) if text and text.lower() not in known else ""
        if near:
            yield _fault(tensor[key], f"{name}::{key}", f"{key} is {text!r}", near, severity="warning")
    yield from _channels(name, tensor)


def _channels(name: str, tensor: Mapping[str, Node]) -> Iterator[Finding]:
    node, count = tensor.get("channel_def"), tensor["num_channels"].value
    item_id = f"{name}{SEP}channel_def"
    if node is None:
        if _text(tensor, "format") == "segmentation":
            told = "channel_def is missing: nobody can tell which channel is which structure"
            yield _fault(tensor["num_channels"], item_id, told, severity="warning")
        return
    if not isinstance(node.value, dict):
        return
    if count == 1 and node.value and "0" not in node.value:
        yield _fault(node, item_id, f"the only channel is 0, channel_def has {', '.join(node.value)[:80]}")
    names = {key: child.value for key, child in node.children()}
    for key, value in names.items():
        if not isinstance(value, str) or not value.strip():
            yield _fault(
                node.value[key], f"{item_id}{SEP}{key}", f"channel {key} is {value!r}, which is no name"
            )
        elif value.lower() == "background" and key != "0":
            told = f"background is channel {key}; MONAI takes 0 for it"
            yield _fault(node.value[key], f"{item_id}{SEP}{key}", told)
    texts = [v.lower() for v in names.values() if isinstance(v, str)]
    twice = sorted({t for t in texts if texts.count(t) > 1})
    if twice:
        yield _fault(node, item_id, f"several channels are called {twice[0]!r}")


def check_itself(meta: Node, properties: Mapping[str, Any]) -> Iterator[Finding]:
    """Texts that are empty, scores that cannot be, a schema from anywhere, keys that are nearly another."""
    for key in _TOLD:
        node = meta.value.get(key)
        if node is not None and isinstance(node.value, str) and not node.value.strip():
            yield _fault(node, key, f"{key} is empty")
    url = meta.value.get("schema")
    if url is not None and isinstance(url.value, str) and not url.value.startswith("https://"):
        yield _fault(url, "schema", f"schema {url.value[:80]!r} is no https address")
    for key, node in meta.children():
        is_known = key in properties or key == "optional_packages_version"  # told of with the schema
        near = "" if is_known else nearest(key, properties)
        if near and near not in meta.value and abs(len(near) - len(key)) < 3:
            yield _fault(node, key, f"MONAI knows no {key}", near, severity="warning")
    scores = meta.value.get("eval_metrics")
    yield from _scores("eval_metrics", scores) if scores is not None else ()


def _scores(base: str, node: Node) -> Iterator[Finding]:
    for key, child in node.children():
        item_id, value = f"{base}{SEP}{key}", child.value
        is_share = any(word in item_id.lower() for word in _SHARES)
        if is_share and isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < 0 or value > 100:
                yield _fault(child, item_id, f"{key} is {value:g}, outside 0 to 1")
            elif value > 1:
                yield _fault(child, item_id, f"{key} is {value:g}: in per cent?", severity="warning")
        yield from _scores(item_id, child)


def _text(tensor: Mapping[str, Node], key: str) -> str:
    node = tensor.get(key)
    return node.value if node is not None and isinstance(node.value, str) else ""


def _is_range(found: list[Any]) -> bool:
    return all(isinstance(n, (int, float)) for n in found) and found[0] < found[1]


def _fault(node: Node, item_id: str, message: str, near: str = "", severity: str = "error") -> Finding:
    return Finding(node.file, node.line, item_id, "metadata-value", message, near, severity)
