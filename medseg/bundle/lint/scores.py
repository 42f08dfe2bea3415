"""From scores to labels: activation, decision, inversion and writing in an order that means something.

A sigmoid network decided by argmax, a softmax after the decision, a loss that trains another activation than
inference uses: each runs to the end and gives labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medseg.bundle.lint.chain import ABSENT, Chain, Part, chain, parts, resolved
from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.finding import Finding
from medseg.bundle.lint.syntax import SEP

PRED = "pred"
_DICE_LIKE = frozenset(["DiceLoss", "DiceCELoss", "DiceFocalLoss", "GeneralizedDiceLoss", "TverskyLoss"])
_DICE_LIKE |= {"GeneralizedDiceFocalLoss", "MaskedDiceLoss"}
_OUT = ("out_channels", "num_classes", "classes")


def check_scores(config: Config) -> Iterator[Finding]:
    """Faults between the network's scores and the written labels; for ``inference`` or ``train`` alone."""
    bases = [""] if config.name == "inference" else ["train::", "validate::"]
    for base in bases:
        if f"{base}postprocessing" in config.items:
            found = chain(config, f"{base}postprocessing")
            yield from _order(found)
            yield from _counts(found, config)
            yield from _inversion(found, config, base)
    for loss in _losses(config):
        yield from _loss_alone(loss, config)


def check_activation(inference: Config, train: Config) -> Iterator[Finding]:
    """Where the loss trains one activation and inference uses the other."""
    used = _activation(chain(inference, "postprocessing")) if "postprocessing" in inference.items else ""
    for loss in _losses(train):
        trained = next((a for a in ("softmax", "sigmoid") if loss.given(a) is True), "")
        if used and trained and used != trained:
            message = f"the loss trains a {trained}, {inference.root.file} decides by a {used}"
            yield _fault(loss, message, "train-differs")


def _fault(part: Part, message: str, code: str = "scores") -> Finding:
    return Finding(part.node.file, part.node.line, part.id, code, message)


def _is(part: Part, argument: str) -> bool:
    value = part.given_for(argument, PRED)
    return value not in (ABSENT, None, False) if argument == "threshold" else value is True


def _activation(found: Chain) -> str:
    steps = found.on(PRED)
    told = {a for s in steps if s.name == "Activations" for a in ("softmax", "sigmoid") if _is(s, a)}
    if len(told) == 1:
        return told.pop()
    decided = {
        w
        for s in steps
        if s.name == "AsDiscrete"
        for a, w in (("argmax", "softmax"), ("threshold", "sigmoid"))
        if _is(s, a)
    }
    return decided.pop() if len(decided) == 1 and not told else ""


def _order(found: Chain) -> Iterator[Finding]:
    active, decided, written = "", "", ""
    steps = found.on(PRED)
    for i, step in enumerate(steps):
        if step.name == "Activations":
            kind = next((a for a in ("softmax", "sigmoid") if _is(step, a)), "")
            if decided:
                yield _fault(step, f"{kind or 'an activation'} comes after {decided}: labels are no scores")
            elif active and kind:
                yield _fault(step, f"{kind} comes after {active}: scores are put through twice")
            active = active or kind
        elif step.name == "AsDiscrete":
            if _is(step, "argmax") and active == "sigmoid":
                yield _fault(step, "argmax of a sigmoid's channels, which may overlap or all be absent")
            if _is(step, "threshold") and active == "softmax" and not _is(step, "argmax") and not decided:
                yield _fault(step, "a threshold on softmax: where no class has it, none is taken")
            decided = decided or next((a for a in ("argmax", "threshold") if _is(step, a)), "")
        is_last = not any(later.name == "AsDiscrete" for later in steps[i:])
        if step.name == "Invert" and decided and is_last and step.given("nearest_interp") is False:
            yield _fault(step, f"it interpolates between labels: nearest_interp is false after {decided}")
        if written and step.name in ("Activations", "AsDiscrete", "Invert"):
            yield _fault(step, f"{step.name} comes after {written}, which has written the file already")
        if step.name.startswith("Save"):
            written = step.name


def _counts(found: Chain, config: Config) -> Iterator[Finding]:
    count = next((config.known(f"network_def::{k}") for k in _OUT if f"network_def::{k}" in config.items), 0)
    if not isinstance(count, int) or count < 1:
        return
    for step in found.on(PRED):
        one_hot = step.given_for("to_onehot", PRED)
        if isinstance(one_hot, int) and not isinstance(one_hot, bool) and one_hot != count:
            yield _fault(step, f"to_onehot is {one_hot}, the network has {count} channels")
        for argument in ("softmax", "argmax"):
            if count == 1 and step.name in ("Activations", "AsDiscrete") and _is(step, argument):
                yield _fault(step, f"{argument} of a single channel is the same everywhere")


def _inversion(found: Chain, config: Config, base: str) -> Iterator[Finding]:
    taken = f"{base}dataset{SEP}transform"
    for step in found.on(PRED):
        if step.name != "Invert":
            continue
        ours, theirs = (resolved(config, i) for i in (f"{step.id}{SEP}transform", taken))
        if {ours, theirs} <= set(config.items) and ours != theirs and taken in config.items:
            yield _fault(step, f"it inverts @{ours}, the cases went through @{theirs}")
        loaded = {k for p in parts(config, "LoadImaged") for k in p.works_on()}
        keys = step.given("orig_keys")
        for key in keys if isinstance(keys, list) else [keys]:
            if loaded and isinstance(key, str) and key not in loaded:
                yield _fault(step, f"orig_keys names {key}, loaded are {', '.join(sorted(loaded))}")


def _losses(config: Config) -> Iterator[Part]:
    for trainer in parts(config, "SupervisedTrainer"):
        at = resolved(config, f"{trainer.id}{SEP}loss_function")
        node = config.items.get(at)
        if node is not None and node.is_component:
            yield Part(at, node, config)


def _loss_alone(loss: Part, config: Config) -> Iterator[Finding]:
    """A Dice of raw scores, where postprocessing shows that the network gives raw scores."""
    if loss.name not in _DICE_LIKE or any(
        _is_set(loss.given(a)) for a in ("softmax", "sigmoid", "other_act")
    ):
        return
    for base in ("validate", "train"):
        if f"{base}{SEP}postprocessing" in config.items:
            for step in chain(config, f"{base}{SEP}postprocessing").on(PRED):
                if step.name == "Activations" and (_is(step, "softmax") or _is(step, "sigmoid")):
                    yield _fault(loss, f"{loss.name} has neither softmax nor sigmoid, so it takes raw scores")
                    return


def _is_set(value: Any) -> bool:
    return value is UNKNOWN or value not in (ABSENT, None, False)
