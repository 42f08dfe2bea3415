"""From a file to the network's input: alike in training and in use, labels kept labels, keys that exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from medseg.bundle.lint.chain import ABSENT, Chain, Part, chain, parts, texts
from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.syntax import SEP

_SAME = {
    "Spacing": ("pixdim",),
    "Orientation": ("axcodes",),
    "Resize": ("spatial_size",),
    "ScaleIntensity": ("minv", "maxv", "factor"),
    "ScaleIntensityRange": ("a_min", "a_max", "b_min", "b_max", "clip"),
    "ScaleIntensityRangePercentiles": ("lower", "upper", "b_min", "b_max", "clip"),
    "NormalizeIntensity": ("subtrahend", "divisor", "nonzero", "channel_wise"),
}
"""What a network has learnt its input to be: transforms, and the arguments that say it."""
_INTERPOLATING = ("Spacing", "Resize")
_INTENSITIES = frozenset(["NormalizeIntensity", "RandGaussianNoise", "RandShiftIntensity", "RandBiasField"])
_INTENSITIES |= {"RandScaleIntensity", "RandAdjustContrast", "RandGaussianSmooth", "RandHistogramShift"}
_MANY_CHANNELS = ("ConvertToMultiChannelBasedOnBratsClasses", "LabelsToRegions")
_KEYS = ("keys", "label_key", "image_key", "source_key")


def check_same_input(inference: Config, train: Config) -> Iterator[Finding]:
    """Where a case is resampled or scaled otherwise in use than it was in training."""
    key = inference.known("image_key")
    key = key if isinstance(key, str) else "image"
    base = "validate" if f"validate{SEP}preprocessing" in train.items else "train"
    used, trained = chain(inference, "preprocessing"), chain(train, f"{base}{SEP}preprocessing")
    for name, arguments in _SAME.items():
        one, two = ([s for s in c.on(key) if s.name == name] for c in (used, trained))
        if len(one) == len(two) == 1:
            yield from _different(one[0], two[0], arguments)
        elif one and not two and _is_known(trained, key):
            yield _fault(one[0], f"{train.root.file} trains without {name}", "train-differs")
        elif two and not one and _is_known(used, key):
            yield _fault(two[0], f"{inference.root.file} has no {name}", "train-differs")


def _is_known(found: Chain, key: str) -> bool:
    return found.is_whole and any(key in s.works_on() for s in found.steps)


def _different(one: Part, two: Part, arguments: tuple[str, ...]) -> Iterator[Finding]:
    for argument in arguments:
        a, b = one.given(argument), two.given(argument)
        if UNKNOWN not in (a, b) and _value(a) != _value(b) and ABSENT not in (a, b):
            message = f"{argument} is {a!r} here and {b!r} in {two.config.root.file}"
            yield _fault(one, message, "train-differs")
        elif ABSENT in (a, b) and True in (a, b):
            message = f"{argument} is true in one of {one.config.root.file} and {two.config.root.file} alone"
            yield _fault(one, message, "train-differs")


def _value(value: Any) -> Any:
    return [float(v) for v in value] if _is_numbers(value) else value


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, float)) for v in value)


def _fault(part: Part, message: str, code: str, near: str = "", severity: str = "error") -> Finding:
    return Finding(part.node.file, part.node.line, part.id, code, message, near, severity)


def check_labels_stay_labels(config: Config) -> Iterator[Finding]:
    """Interpolation between label numbers, and intensity transforms of a label map."""
    key = config.known("label_key")
    key = key if isinstance(key, str) else "label"
    for base in ("train", "validate"):
        is_mask = False
        for step in chain(config, f"{base}{SEP}preprocessing").on(key):
            is_mask = is_mask or step.name in _MANY_CHANNELS
            if step.name in _INTENSITIES:
                yield _fault(step, f"{step.name} changes the numbers of {key}", "labels")
            mode = step.given_for("mode", key)
            is_smooth = mode is ABSENT or mode in ("bilinear", "trilinear", "bicubic", "area", "linear")
            if step.name in _INTERPOLATING and is_smooth and not is_mask:
                told = "by default" if mode is ABSENT else f"by mode {mode}"
                yield _fault(step, f"{step.name} interpolates between the numbers of {key} {told}", "labels")


def check_keys(config: Config) -> Iterator[Finding]:
    """A key of a case that one transform alone names, and that is nearly one that is loaded."""
    loaded = {k for p in parts(config, "LoadImaged") for k in p.works_on()}
    if not loaded:
        return
    known = {*loaded, "image", "label", "pred"}
    named = [(p, a, k) for p in _dictionary_transforms(config) for a in _KEYS for k in texts(p.given(a))]
    counts = Counter(k for _, _, k in named)
    for part, argument, key in named:
        near = nearest(key, known) if key not in known and counts[key] == 1 else ""
        if near and not _is_numbered(key, near):
            item_id = f"{part.id}{SEP}{argument}"
            node = part.node.value[argument]
            yield Finding(node.file, node.line, item_id, "unknown-key", f"nothing loads or makes {key}", near)


def _dictionary_transforms(config: Config) -> Iterator[Part]:
    for item_id, node in config.walk():
        if node.is_component and "keys" in node.value:
            yield Part(item_id, node, config)


def _is_numbered(key: str, near: str) -> bool:
    """True for ``image1``, ``label_2``, ``pred_tc``: made from the other on purpose."""
    return key.startswith(near) and (len(key) > len(near) + 1 or key[-1].isdigit())
