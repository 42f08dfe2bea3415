"""Cross-validation: each fold predicted by a network that never saw it, and one report over all cases."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medseg.bundle.copying import OVERRIDES
from medseg.bundle.training import MANIFEST, Training, manifest_of, train_unguarded
from medseg.bundle.weights import write_sums
from medseg.data.folds import folds_of, tell, with_folds
from medseg.data.manifest import Manifest, read_manifest, write_manifest
from medseg.distributed.job import Job
from medseg.distributed.ledger import collect_volumes, write_failures
from medseg.distributed.worker import Worker
from medseg.errors import OutputError
from medseg.evaluation import Evaluation, Inputs, evaluate
from medseg.evaluation.page import write_report
from medseg.inference.cases import Case, place_cases
from medseg.inference.cohort import Outcome
from medseg.training.checkpoints import write_text
from medseg.writers.lock import hold, holds_work

SETTINGS = "cross_validation.json"
BEST = "best.pt"


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation found.

    Attributes:
        evaluation: over all cases, each predicted out of fold.
        folds: fold to structure to mean Dice of the cases it held out.
        failures: case to the reason why it has no prediction.
    """

    evaluation: Evaluation
    folds: Mapping[int, Mapping[str, float]]
    failures: Mapping[str, str]


@dataclass(frozen=True)
class Fold:
    """One fold's work.

    Attributes:
        training: of this fold, into a folder of its own.
        is_trained: only the predictions are missing.
    """

    training: Training
    is_trained: bool = False
    resume: bool = False
    overwrite: bool = False


Done = tuple[int, list[Outcome]]
Spread = Callable[[Sequence[Fold]], Iterator[Done]]


def do_fold(task: Fold) -> Done:
    """The fold's number and the outcomes of the cases it holds out; what was begun goes on."""
    training = task.training
    assert training.fold is not None
    if not task.is_trained:
        has_begun = task.resume and (training.target / "configs" / OVERRIDES).is_file()
        if not has_begun:
            (training.target / "models" / BEST).unlink(missing_ok=True)  # of an earlier run
        train_unguarded(training, resume=has_begun, overwrite=task.overwrite or task.resume)
        _keep_last_weights(training.target)
    root = training.target.parent
    return training.fold, _predict_held_out(training, read_manifest(root / MANIFEST), root / "predictions")


def one_by_one(tasks: Sequence[Fold]) -> Iterator[Done]:
    """Every fold in turn, in this process."""
    for task in tasks:
        sys.stderr.write(f"fold {task.training.fold}\n")
        yield do_fold(task)


def cross_validate(
    training: Training,
    *,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    spread: Spread = one_by_one,
) -> CrossValidation:
    """A training per fold, a prediction of every case by the network of its fold, and one report.

    In ``training.target``: ``manifest.json`` with the folds, ``fold_K`` (a trained bundle each),
    ``predictions`` and ``report``. A fold's ``model.pt`` holds the weights of its run's last step: those of
    the best score (``best.pt``) were chosen on the cases that the fold holds out, and would flatter. With
    `resume` finished folds are kept, a killed one goes on.

    Args:
        training: what is trained; its budget is for each fold, its ``fold`` isn't looked at.
        seed: of the order in which patients are dealt to folds.
        resume: go on with a cross-validation that was stopped.
        overwrite: replace an earlier one.
        spread: does the folds elsewhere, in any order, instead of one after the other here.

    Raises:
        OutputError: the target holds something and `overwrite` is off, or there is nothing to go on with.
        ManifestError: a patient in two folds, a case without one, or fewer patients than folds.
    """
    with hold(training.target):
        return _cross_validated(training, seed=seed, resume=resume, overwrite=overwrite, spread=spread)


def _cross_validated(
    training: Training, *, seed: int, resume: bool, overwrite: bool, spread: Spread
) -> CrossValidation:
    root = training.target
    state = _State.of(training, resume=resume, overwrite=overwrite)
    training = replace(training, overrides=state.overrides, budget=state.budget)
    if resume:
        manifest = read_manifest(root / MANIFEST)
    else:
        manifest = with_folds(manifest_of(training), training.data, training.n_folds, seed)
        write_manifest(manifest, root / MANIFEST, overwrite=overwrite)
        shutil.rmtree(root / "predictions", ignore_errors=True)  # of an earlier one, which is replaced
        state.write()
    tell(manifest)
    folds = folds_of(manifest)
    tasks = [
        Fold(
            replace(
                training, target=root / f"fold_{fold}", manifest=root / MANIFEST, fold=fold, n_folds=None
            ),
            is_trained=fold in state.trained,
            resume=resume,
            overwrite=overwrite,
        )
        for fold in folds
    ]
    failed: list[Outcome] = []
    for number, (fold, outcomes) in enumerate(spread(tasks), 1):
        sys.stderr.write(f"fold {fold} done  {number} of {len(folds)}\n")
        failed += [outcome for outcome in outcomes if outcome.status == "failed"]
        if fold not in state.trained:
            state.trained.append(fold)
            state.write()
    write_failures(root / "predictions", failed)
    collect_volumes(root / "predictions", _cases(training, manifest, None, root / "predictions"))
    return _scored(training, manifest, {outcome.case.name: outcome.reason for outcome in failed})


def _keep_last_weights(bundle: Path) -> None:
    """Let ``model.pt`` be the weights of the last step, and ``best.pt`` those that scored best held out."""
    models = bundle / "models"
    if not (models / BEST).exists():
        (models / "model.pt").replace(models / BEST)
    part = models / ".model.pt.part"
    shutil.copyfile(models / "last.pt", part)
    part.replace(models / "model.pt")
    write_sums(bundle)


def _cases(training: Training, manifest: Manifest, fold: int | None, folder: Path) -> list[Case]:
    """The scans that a fold holds out, or all; each label map goes by the name of its case."""
    cases = manifest.cases("training", fold, held_out=fold is not None)
    named = [
        Case(c.case, tuple(training.data / path for path in c.image), folder / c.case, is_named=True)
        for c in cases
    ]
    return place_cases(named, folder)


def _predict_held_out(training: Training, manifest: Manifest, folder: Path) -> list[Outcome]:
    """The outcomes of the cases that the fold holds out, by its own bundle; what is done is kept.

    Several folds may write to the folder at once, so none tidies up there.
    """
    cases = _cases(training, manifest, training.fold, folder)
    sys.stderr.write(f"fold {training.fold}  predicting {len(cases)} cases\n")
    worker = Worker(Job((training.target.resolve(),), folder.resolve(), trust=training.trust))
    return [worker.do(case) for case in cases]


def _scored(training: Training, manifest: Manifest, failures: Mapping[str, str]) -> CrossValidation:
    root = training.target
    inputs = Inputs(root / "predictions", manifest=root / MANIFEST, data=training.data, split="training")
    evaluation = evaluate(inputs, root / "report", overwrite=True)
    write_report(root / "report", title=f"{manifest.name}: cross-validation, out of fold")
    fold_of = {c.case: c.fold for c in manifest.items}
    folds = {
        fold: _mean_dice(evaluation, {case for case, its in fold_of.items() if its == fold})
        for fold in folds_of(manifest)
    }
    (root / "report" / "folds.json").write_text(json.dumps(folds, indent=1) + "\n", encoding="utf-8")
    return CrossValidation(evaluation, folds, failures)


def _mean_dice(evaluation: Evaluation, cases: set[str]) -> dict[str, float]:
    """Structure to the mean Dice over these cases, without those where it is undefined."""
    found: dict[str, list[float]] = {s.name: [] for s in evaluation.protocol.structures}
    for result in evaluation.results:
        if result.reference.case in cases and result.score is not None:
            for structure in result.score.structures:
                value = structure.metrics["dice"]
                if math.isfinite(value):
                    found[structure.name].append(value)
    return {name: sum(values) / len(values) if values else math.nan for name, values in found.items()}


@dataclass
class _State:
    """The settings of all folds and which are trained, on disk: a night that was cut short is not lost."""

    path: Path
    overrides: dict[str, Any]
    budget: str | None
    trained: list[int]

    @classmethod
    def of(cls, training: Training, *, resume: bool, overwrite: bool) -> _State:
        root = training.target
        path = root / SETTINGS
        if not resume:
            if holds_work(root) and not overwrite:
                raise OutputError(
                    f"{root} is not empty", "a new folder", "choose another with -o, or say --overwrite"
                )
            return cls(path, dict(training.overrides), training.budget, [])
        if not path.is_file():
            raise OutputError(
                f"no cross-validation in {root}", f"a folder with {SETTINGS}", "leave out --resume"
            )
        known = json.loads(path.read_text(encoding="utf-8"))
        overrides = {**known["overrides"], **training.overrides}
        return cls(path, overrides, training.budget or known["budget"], list(known["trained"]))

    def write(self) -> None:
        content = {"overrides": self.overrides, "budget": self.budget, "trained": self.trained}
        write_text(self.path, json.dumps(content, indent=1) + "\n")
