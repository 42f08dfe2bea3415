"""metadata.json: its schema, its versions, and its agreement with labels and network."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.data_format import check_itself, check_tensor
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.tree import Node
from medseg.bundle.lint.versions import check_versions

_MOST_CHANNELS = 100_000
_IN = ("in_channels", "n_channels", "in_chans", "num_input_channels")
_OUT = ("out_channels", "num_classes", "n_classes", "out_chans", "classes")


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of metadata.json that the package keeps (MONAI's meta_schema_20240725)."""
    text = files("medseg.bundle.lint").joinpath("metadata_schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


class Metadata:
    """Checks one metadata.json.

    Args:
        meta: its tree.
        configs: the merged configs to hold it against, inference first.
    """

    def __init__(self, meta: Node, configs: list[Config]) -> None:
        self.meta, self.configs = meta, configs

    def fault(
        self, node: Node, item_id: str, code: str, message: str, near: str = "", severity: str = "error"
    ) -> Finding:
        """A finding at a node of metadata.json."""
        return Finding(self.meta.file, node.line, item_id, code, message, near, severity)

    def check(self) -> Iterator[Finding]:
        """Everything that is wrong with it."""
        yield from self._schema()
        yield from check_versions(self.meta)
        yield from check_itself(self.meta, schema()["properties"])
        yield from self._channels()

    def _schema(self) -> Iterator[Finding]:
        import jsonschema

        old_name = self.meta.value.get("optional_packages_version")
        url = self.meta.value.get("schema")
        is_old = url is not None and "20240725" not in str(url.value)
        for error in jsonschema.Draft201909Validator(schema()).iter_errors(self.meta.plain()):
            node = self._at(list(error.absolute_path))
            item_id = "::".join(map(str, error.absolute_path))
            if error.validator != "required":
                yield self.fault(node, item_id, "metadata-schema", error.message[:300])
                continue
            key = re.sub(r"^'(.*)' is a required.*$", r"\1", error.message)
            if key == "required_packages_version" and old_name is not None:
                message = "optional_packages_version is the old name of required_packages_version"
                severity = "warning" if is_old else "error"
                yield self.fault(old_name, item_id, "metadata-schema", message, key, severity)
                continue
            known = node.value if isinstance(node.value, dict) else {}
            near = nearest(key, [k for k in known if k not in schema()["properties"]])
            yield self.fault(known.get(near, node), item_id, "metadata-schema", f"{key} is missing", near)

    def _at(self, path: list[str | int]) -> Node:
        node = self.meta
        for part in path:
            node = dict(node.children()).get(str(part), node)
        return node

    def _channels(self) -> Iterator[Finding]:
        inputs, outputs = self._tensors("inputs"), self._tensors("outputs")
        for name, tensor in {**inputs, **outputs}.items():
            yield from self._definition(name, tensor)
            yield from check_tensor(name, tensor, is_input=name in inputs)
        for wanted, keys, tensors in (("inputs", _IN, inputs), ("outputs", _OUT, outputs)):
            if len(tensors) == 1 and (count := self._network(keys)) is not UNKNOWN:
                name, tensor = next(iter(tensors.items()))
                said = tensor.get("num_channels")
                if said is not None and said.value != count and isinstance(count, int):
                    message = f"num_channels is {said.value}, the config's network has {count} for {wanted}"
                    yield self.fault(said, f"{name}::num_channels", "metadata-network", message)
        yield from self._spatial(inputs, outputs)
        yield from self._labels(outputs)

    def _tensors(self, side: str) -> dict[str, dict[str, Node]]:
        base = f"network_data_format::{side}"
        node = self._at(["network_data_format", side])
        found = self.meta.value.get("network_data_format")
        if found is None or not isinstance(found.value, dict) or side not in found.value:
            return {}
        return {
            f"{base}::{key}": child.value
            for key, child in node.children()
            if isinstance(child.value, dict) and "num_channels" in child.value
        }

    def _definition(self, name: str, tensor: Mapping[str, Node]) -> Iterator[Finding]:
        count, channels = tensor["num_channels"], tensor.get("channel_def")
        if (
            channels is None
            or not isinstance(channels.value, dict)
            or not isinstance(count.value, int)
            or count.value < 2
        ):
            return
        if count.value > _MOST_CHANNELS:
            yield self.fault(count, f"{name}::num_channels", "metadata-value", f"{count.value} channels")
            return
        wanted = [str(i) for i in range(count.value)]
        missing = [k for k in wanted if k not in channels.value]
        extra = [k for k in channels.value if k not in wanted]
        if missing or extra:
            parts = [
                f"{word} {', '.join(keys[:5])}"
                for word, keys in (("lacks", missing), ("has also", extra))
                if keys
            ]
            message = f"channel_def {' and '.join(parts)}; num_channels is {count.value}"
            yield self.fault(channels, f"{name}::channel_def", "channel-def", message)

    def _network(self, keys: tuple[str, ...]) -> Any:
        for config in self.configs:
            for key in keys:
                if f"network_def::{key}" in config.items:
                    return config.known(f"network_def::{key}")
        return UNKNOWN

    def _spatial(
        self, inputs: Mapping[str, dict[str, Node]], outputs: Mapping[str, dict[str, Node]]
    ) -> Iterator[Finding]:
        dims = self._network(("spatial_dims", "dimensions"))
        for name, tensor in {**inputs, **outputs}.items():
            shape = tensor.get("spatial_shape")
            if shape is None or not isinstance(shape.value, list):
                continue
            if isinstance(dims, int) and len(shape.value) != dims and tensor["type"].value == "image":
                message = f"spatial_shape has {len(shape.value)} axes, the network has {dims}"
                yield self.fault(shape, f"{name}::spatial_shape", "metadata-network", message)
            first = next(iter(inputs.values())).get("spatial_shape") if len(inputs) == 1 else None
            is_map = tensor.get("format", shape).value == "segmentation" and name in outputs
            if is_map and first is not None and first.plain() != shape.plain():
                message = f"spatial_shape is {shape.plain()}, the input's is {first.plain()}"
                yield self.fault(shape, f"{name}::spatial_shape", "metadata-network", message)

    def _labels(self, outputs: Mapping[str, dict[str, Node]]) -> Iterator[Finding]:
        labels = next((k for c in self.configs if _is_labels(k := c.known("labels"))), None)
        if labels is None or len(outputs) != 1:
            return
        name, tensor = next(iter(outputs.items()))
        channels = tensor.get("channel_def")
        if channels is None or not isinstance(channels.value, dict):
            return
        said = {k: str(n.value) for k, n in channels.children()}
        regions = next((k for c in self.configs if _is_labels(k := c.known("regions"))), None)
        if regions is not None and self._network(_OUT) in (len(regions), UNKNOWN):
            yield from self._named(name, channels, said, {str(i): k for i, k in enumerate(regions)})
        elif all(isinstance(v, int) for v in labels.values()):
            yield from self._named(name, channels, said, {str(v): k for k, v in labels.items()})
        elif {s.lower() for s in said.values()} - {"background"} != {k.lower() for k in labels} - {
            "background"
        }:
            message = f"channel_def names {sorted(said.values())}, the config's labels are {sorted(labels)}"
            yield self.fault(channels, f"{name}::channel_def", "channel-def", message)

    def _named(
        self, name: str, channels: Node, said: dict[str, str], labels: dict[str, str]
    ) -> Iterator[Finding]:
        for number, label in labels.items():
            found = said.get(number)
            if found is None or found.lower() != label.lower():
                node = channels.value.get(number, channels)
                message = f"channel {number} is {found!r} in channel_def and {label!r} in the config's labels"
                yield self.fault(node, f"{name}::channel_def::{number}", "channel-def", message, label)


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(v, (int, list)) for v in value.values())
