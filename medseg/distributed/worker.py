"""What one worker does: the bundles loaded once, then case after case from its files to its files."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import nibabel as nib
import numpy as np
import torch

from medseg.bundle.predicting import Predictor, inference_config, load_ensemble
from medseg.bundle.probabilities import probabilities
from medseg.bundle.restricted import check
from medseg.bundle.structures import asks_of, structures_of
from medseg.distributed.stages import Stages
from medseg.errors import GeometryError, MedsegError
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome, one_line
from medseg.inference.confidence import Meter
from medseg.inference.delivery import Result, Wanted, deliver, is_done
from medseg.inference.probabilities import read_back
from medseg.inference.staging import Staged, stage
from medseg.labels import Structure

SCRATCH = ".scratch-"


@dataclass(frozen=True)
class Job:
    """The same for every case of a run; plain values, so that it can be sent to another machine.

    Attributes:
        folder: of the outputs; nothing is written elsewhere.
        trust: run whatever the bundles hold.
        allow: rules of findings that do not refuse a case.
    """

    bundles: tuple[Path, ...]
    folder: Path
    device: str | None = None
    engine: str = "auto"
    runtime: str = "torch"
    max_ram: int | None = None
    trust: bool = False
    overwrite: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Opened:
    """A case that was read and checked, and the folder that holds what was made of it."""

    staged: Staged
    scratch: tempfile.TemporaryDirectory[str]


@dataclass(frozen=True)
class _Labelled:
    """A case whose labels are known and not written yet.

    Attributes:
        told: what the predictor had to say meanwhile.
        wall_s: seconds spent on it so far.
    """

    case: Case
    staged: Staged
    scratch: tempfile.TemporaryDirectory[str]
    result: Result
    structures: tuple[Structure, ...]
    told: tuple[str, ...]
    wall_s: float


class Worker:
    """A loaded predictor and what it knows of its structures.

    Args:
        n_threads: of torch in this worker; 0 leaves them as they are.

    Raises:
        BundleError: a bundle can't be loaded, or several don't fit together.
    """

    def __init__(self, job: Job, n_threads: int = 0) -> None:
        if n_threads:
            torch.set_num_threads(n_threads)
        self.job = job
        modes = [check(b, trust=job.trust, files=[inference_config(b)]) for b in job.bundles]
        self.mode = next((mode for mode in modes if not mode.full), modes[0])
        with self.mode.kept_in(job.folder):
            self.predictor: Predictor = load_ensemble(
                job.bundles,
                device=job.device,
                engine=job.engine,
                trust=job.trust,
                max_ram=job.max_ram,
                runtime=job.runtime,
                output=job.folder,
            )
        why = self.predictor.why_stock
        self._told = [f"the bundle's own post-processing is used: {why}"] if why else []
        self.predictor.tell = self._told.append
        self.structures = structures_of(job.bundles[0])
        self.asks = asks_of(job.bundles[0], self.predictor.modules[0])
        self.meter = self._meter()

    def do(self, case: Case) -> Outcome:
        """What became of the case; its files are written, or nothing is."""
        return self._delivered(self._labelled(case, partial(self._opened_if_needed, case)))

    def do_each(self, cases: Sequence[Case]) -> Iterator[Outcome]:
        """What became of each case; while the network has one, the next is read and the last is written.

        In turn where memory is bounded, or a bundle is in restricted mode: its leash holds the whole process.
        """
        if not self.mode.full or self.job.max_ram is not None:
            yield from map(self.do, cases)
            return
        stages = Stages(self._opened_if_needed, self._labelled, self._delivered, _drop, _drop)
        yield from stages.results(cases)

    def _is_kept(self, case: Case) -> bool:
        return not self.job.overwrite and is_done(case, self.job.wanted, self.structures)

    def _labelled(self, case: Case, opened: Callable[[], _Opened | None]) -> _Labelled | Outcome:
        """The case with its labels, not written yet; or what became of it where that is known already."""
        start = perf_counter()
        if self._is_kept(case):
            return Outcome(case, "kept")
        try:
            ready = opened() or self._opened(case)
            try:
                with self.mode.kept_in(self.job.folder):
                    result = self._result(case, ready.staged, Path(ready.scratch.name))
                structures = self._named(result.labels, ready.staged)
            except BaseException:
                _drop(ready)
                raise
        except Exception as error:  # noqa: BLE001  reported with its trace, by the caller and in failures.json
            return _failed(case, error, perf_counter() - start)
        told, self._told[:] = tuple(self._told), []
        return _Labelled(case, ready.staged, ready.scratch, result, structures, told, perf_counter() - start)

    def _delivered(self, labelled: _Labelled | Outcome) -> Outcome:
        """What became of the case, after writing its files."""
        if isinstance(labelled, Outcome):
            return labelled
        start, case, staged = perf_counter(), labelled.case, labelled.staged
        try:
            with labelled.scratch:
                notes = deliver(case, staged, labelled.result, labelled.structures, self.job.wanted)
            _sweep(case.output)
        except Exception as error:  # noqa: BLE001  reported as above
            return _failed(case, error, labelled.wall_s + perf_counter() - start)
        said = tuple(case.said(note) for note in (*staged.notes, *notes, *labelled.told))
        return Outcome(case, "done", labelled.wall_s + perf_counter() - start, notes=said)

    def _opened_if_needed(self, case: Case) -> _Opened | None:
        return None if self._is_kept(case) else self._opened(case)

    def _opened(self, case: Case) -> _Opened:
        if case.problem is not None:
            raise case.problem
        # Below the output, where a bundle in restricted mode may write, and out of every pattern's reach.
        self.job.folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=SCRATCH, dir=self.job.folder)
        in_memory, allow = self.job.max_ram is None, self.job.allow
        try:
            staged = stage(case, Path(scratch.name), self.asks.n_channels, allow=allow, in_memory=in_memory)
        except BaseException:
            scratch.cleanup()
            raise
        return _Opened(staged, scratch)

    def _result(self, case: Case, staged: Staged, scratch: Path) -> Result:
        self._read_confidence(())
        self.predictor.probabilities = scratch / "probabilities" if self.job.wanted.probabilities else None
        if self.asks.n_axes == 3 and len(staged.shape) == 2:
            raise GeometryError("a picture", "a volume", "take a bundle that was made for pictures")
        try:
            labels = self._labels(case, staged, scratch)
        except MedsegError:
            raise
        except Exception as error:
            # What a network says of a tensor that does not fit it is of no use to whoever gave the scan.
            self._refuse_misfit(staged, error)
            raise
        confidence = self._read_confidence(self._named(labels, staged))
        return Result(labels, confidence, self._probabilities(staged))

    def _probabilities(self, staged: Staged) -> np.ndarray | None:
        """What the engine put in its file; where the bundle went its own way, by the bundle's own steps."""
        file = self.predictor.probabilities
        if file is None:
            return None
        if file.exists():
            return read_back(file, staged.shape)
        return probabilities(self.predictor, staged.images)

    def _labels(self, case: Case, staged: Staged, scratch: Path) -> np.ndarray:
        if staged.like is None:
            labels = self.predictor.to_labels(staged.images)
        else:
            at = replace(case, images=staged.images, output=scratch / "labels.nii")
            labels = np.asarray(nib.load(self.predictor.predict(at, overwrite=True)).dataobj)
        if labels.shape[: len(staged.shape)] != staged.shape:
            raise GeometryError(
                f"labels of shape {labels.shape} for a scan of shape {staged.shape}",
                "labels on the scan's grid",
                "mend the bundle's post-processing",
            )
        return labels

    def _refuse_misfit(self, staged: Staged, error: Exception) -> None:
        """Raise what is wrong with the scan for this bundle, where that explains the error.

        Raises:
            GeometryError: a volume for a network of pictures, or another number of channels.
        """
        found = f"a {'picture' if staged.like is None else 'volume'} with {staged.n_channels} channels"
        wrong_channels = self.asks.n_channels and self.asks.n_channels != staged.n_channels
        wrong_axes = self.asks.n_axes and self.asks.n_axes != len(staged.shape)
        if wrong_channels or wrong_axes:
            kind = {2: "pictures", 3: "volumes"}.get(self.asks.n_axes, "images")
            raise GeometryError(
                found,
                f"{kind} with {self.asks.n_channels or 'other'} channels",
                "take the bundle that was made for such scans, or name one file per channel",
            ) from error

    def _named(self, labels: np.ndarray, staged: Staged) -> tuple[Structure, ...]:
        """The bundle's structures, or one without a name for each number or map that there is."""
        if self.structures and (labels.ndim < 4 or labels.shape[3] == len(self.structures)):
            return self.structures
        if labels.ndim == 4:
            numbers = [*range(1, labels.shape[3] + 1)]
        else:
            known = self.predictor.numbers() if self.predictor.understood and staged.like else None
            numbers = [int(n) for n in (known or np.unique(labels)) if n]
        # A label map of background alone still has something that was looked for.
        return tuple(Structure(f"label {n}", frozenset([n])) for n in numbers or [1])

    def _meter(self) -> Meter | None:
        known = self.predictor.understood
        if known is None:
            return None
        is_averaged = known.plan.mirroring is not None or len(self.predictor.modules) > 1
        decision = known.plan.decision
        meter = Meter(decision.threshold is not None, is_averaged and decision.activation != "none")
        self.predictor.watch = meter.watching
        return meter

    def _read_confidence(self, structures: Sequence[Structure]) -> dict[str, float]:
        if self.meter is None or self.predictor.understood is None:
            return {}
        return self.meter.read_by_name(structures, self.predictor.understood.plan.decision.numbers)


def _drop(begun: _Opened | _Labelled | Outcome | None) -> None:
    if isinstance(begun, (_Opened, _Labelled)):
        begun.scratch.cleanup()


def _failed(case: Case, error: Exception, wall_s: float) -> Outcome:
    trace = "" if isinstance(error, MedsegError) else "".join(traceback.format_exception(error))
    return Outcome(case, "failed", wall_s, case.said(one_line(error)), case.said(trace))


def _sweep(output: Path) -> None:
    """Remove what a killed worker left of this case; nobody else works on it."""
    name = re.escape(re.sub(r"(\.nii\.gz|\.[a-z]+)$", "", output.name))
    for path in output.parent.glob(".*.part"):
        if re.fullmatch(rf"\.{name}\..*\d+\.part", path.name):
            path.unlink(missing_ok=True)
