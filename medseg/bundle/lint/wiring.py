"""Parts that are there and stand beside the flow: unused, on another network, on the wrong cases.

MONAI runs all of these without a word: weights that nothing loads, an optimiser of another network, steps
that no engine takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from medseg.bundle.lint.chain import Part, chain, network_of, parts, resolved
from medseg.bundle.lint.config import Config
from medseg.bundle.lint.finding import Finding, nearest
from medseg.bundle.lint.references import used_ids
from medseg.bundle.lint.syntax import SEP, references

_STEPS = ("preprocessing", "postprocessing", "inferer", "handlers", "key_metric", "dataset", "dataloader")
_LOADING = ("load_state_dict", ".load(", ".pt", ".safetensors", ".ckpt", ".pth", ".ts")
_IN_MODELS = re.compile(r"models/([\w.+-]+)['\"]?$")


def check_wiring(config: Config) -> Iterator[Finding]:
    """What an engine does not take although the config has it; for ``inference`` or ``train`` alone."""
    yield from _unused(config)
    yield from _run(config)
    if config.name == "inference":
        yield from _loaded(config, "evaluator")
        yield from _random(config, "preprocessing", "error")
    else:
        yield from _trained(config)
        yield from _random(config, f"validate{SEP}preprocessing", "warning")


def check_evaluation(config: Config) -> Iterator[Finding]:
    """An evaluation of weights that nothing has loaded; for a config laid over ``train``."""
    engine = next((e for e in ("evaluator", f"validate{SEP}evaluator") if e in _reached(config, "run")), "")
    if engine and f"train{SEP}trainer" not in _reached(config, "run"):
        yield from _loaded(config, engine)


def _fault(config: Config, item_id: str, message: str, severity: str = "error") -> Finding:
    node = config.items.get(item_id, config.root)
    return Finding(node.file, node.line, item_id, "wiring", message, severity=severity)


def _unused(config: Config) -> Iterator[Finding]:
    used = used_ids(config)
    bases = [""] if config.name == "inference" else ["train::", "validate::"]
    for base in bases:
        for item_id in (f"{base}{name}" for name in _STEPS):
            if item_id in config.items and item_id not in used and config.items[item_id].value:
                yield _fault(config, item_id, f"nothing uses {item_id}, so it has no effect")
    validator = f"validate{SEP}evaluator"
    if config.name == "train" and validator in config.items and validator not in used:
        yield _fault(config, validator, "no handler of the trainer names it: validation never happens")


def _run(config: Config) -> Iterator[Finding]:
    engine = "evaluator" if config.name == "inference" else f"train{SEP}trainer"
    if "run" in config.items and engine in config.items and engine not in _reached(config, "run"):
        yield _fault(config, "run", f"run does not reach @{engine}")


def _reached(config: Config, start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        item_id = todo.pop()
        node = config.items.get(item_id)
        if item_id in seen or node is None:
            continue
        seen.add(item_id)
        todo += [*references(node.value), *(f"{item_id}{SEP}{key}" for key, _ in node.children())]
    return seen


def _loaded(config: Config, engine: str) -> Iterator[Finding]:
    """An engine that predicts with the numbers that its network was born with."""
    if engine not in config.items:
        return
    loaders = list(parts(config, "CheckpointLoader"))
    reached = _reached(config, "initialize") | _reached(config, "run")
    at_work = [p for p in loaders if p.id in reached]
    if not at_work:
        inside = tuple(f"{p.id}{SEP}" for p in loaders)
        others = (n.value for i, n in config.walk() if not i.startswith(inside or ("::",)))
        if not any(isinstance(v, str) and any(w in v for w in _LOADING) for v in others):
            at = loaders[0].id if loaders else engine
            yield _fault(config, at, f"nothing loads the weights before {engine} runs")
        return
    network = network_of(config, f"{engine}{SEP}network")
    targets = {network_of(config, i) for p in at_work for i in _values(p, "load_dict")}
    if network and targets and "" not in targets and network not in targets:
        message = f"weights are loaded into {', '.join(sorted(targets))}, the evaluator runs {network}"
        yield _fault(config, at_work[0].id, message)
    for part in at_work:
        yield from _weights_there(part)


def _weights_there(part: Part) -> Iterator[Finding]:
    """Weights that a loader names and the bundle does not have, beside others that it has."""
    at = resolved(part.config, f"{part.id}{SEP}load_path")
    node = part.config.items.get(at)
    match = _IN_MODELS.search(node.value) if node is not None and isinstance(node.value, str) else None
    there = {p.name for p in (part.config.root_dir / "models").glob("*")}
    if node is not None and match and match[1] not in there and "model.pt" in there:
        message = f"models/{match[1]}, which it loads, is missing"
        yield Finding(node.file, node.line, at, "missing-file", message, nearest(match[1], there))


def _values(part: Part, argument: str) -> list[str]:
    base = f"{part.id}{SEP}{argument}"
    at = resolved(part.config, base)
    node = part.config.items.get(at)
    return [f"{at}{SEP}{key}" for key, _ in node.children()] if node else []


def _trained(config: Config) -> Iterator[Finding]:
    """Optimiser, validation and checkpoints of another network; a validation on the training cases."""
    trainer, validator = (
        next((p for p in parts(config, name) if p.id.startswith(base)), None)
        for name, base in (("SupervisedTrainer", "train"), ("SupervisedEvaluator", "validate"))
    )
    network = network_of(config, f"{trainer.id}{SEP}network") if trainer else ""
    if trainer is None or not network:
        return
    optimizer = resolved(config, f"{trainer.id}{SEP}optimizer")
    others = {f"{optimizer}{SEP}params": "the optimizer's parameters are those of"}
    if validator is not None:
        others[f"{validator.id}{SEP}network"] = "validation scores"
        loaders = [
            resolved(config, f"{p.id}{SEP}{k}_data_loader")
            for p, k in ((trainer, "train"), (validator, "val"))
        ]
        if loaders[0] == loaders[1]:
            yield _fault(
                config, f"{validator.id}{SEP}val_data_loader", "validation scores the training cases"
            )
    for item_id, what in others.items():
        found = network_of(config, item_id) if item_id in config.items else ""
        if found and found != network:
            yield _fault(config, item_id, f"{what} {found}, the trainer trains {network}")
    for saver in parts(config, "CheckpointSaver"):
        saved = {network_of(config, i) for i in _values(saver, "save_dict")}
        if saved and "" not in saved and network not in saved:
            message = f"{', '.join(sorted(saved))} is saved, the trainer trains {network}"
            yield _fault(config, saver.id, message)


def _random(config: Config, item_id: str, severity: str) -> Iterator[Finding]:
    if item_id in config.items:
        for step in chain(config, item_id).steps:
            if step.name.startswith("Rand") and step.given("prob") not in (0, 0.0):
                message = f"{step.name} is random: the same case gives another result each time"
                yield _fault(config, step.id, message, severity)
