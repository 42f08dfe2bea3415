"""What one worker does: the bundles loaded once, then case after case from its files to its files."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import nibabel as nib
import numpy as np

from medseg.bundle.predicting import Predictor, inference_config, load_ensemble
from medseg.bundle.probabilities import probabilities
from medseg.bundle.restricted import check
from medseg.bundle.structures import structures_of
from medseg.errors import MedsegError
from medseg.inference.cases import Case
from medseg.inference.cohort import Outcome, one_line
from medseg.inference.confidence import Meter
from medseg.inference.delivery import Result, Wanted, deliver, outputs_of
from medseg.inference.privacy import redacted
from medseg.inference.staging import Staged, stage
from medseg.labels import Structure


@dataclass(frozen=True)
class Job:
    """The same for every case of a run; plain values, so that it can be sent to another machine.

    Attributes:
        folder: of the outputs; nothing is written elsewhere.
        trust: run whatever the bundles hold.
        allow: rules of findings that do not refuse a case.
        n_threads: of torch in this worker; 0 leaves them as they are.
    """

    bundles: tuple[Path, ...]
    folder: Path
    device: str | None = None
    engine: str = "auto"
    trust: bool = False
    overwrite: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    allow: tuple[str, ...] = ()
    n_threads: int = 0


class Worker:
    """A loaded predictor and what it knows of its structures.

    Raises:
        BundleError: a bundle can't be loaded, or several don't fit together.
    """

    def __init__(self, job: Job) -> None:
        if job.n_threads:
            import torch

            torch.set_num_threads(job.n_threads)
        self.job = job
        modes = [check(b, trust=job.trust, files=[inference_config(b)]) for b in job.bundles]
        self.mode = next((mode for mode in modes if not mode.full), modes[0])
        with self.mode.kept_in(job.folder):
            self.predictor: Predictor = load_ensemble(
                job.bundles, device=job.device, engine=job.engine, trust=job.trust
            )
        self.structures = structures_of(job.bundles[0])
        self.meter = self._meter()

    @property
    def why_stock(self) -> str:
        """Why the bundle's own post-processing is used, or empty."""
        return self.predictor.why_stock

    def do(self, case: Case) -> Outcome:
        """What became of the case; its files are written, or nothing is."""
        start = perf_counter()
        if not self.job.overwrite and is_done(case, self.job.wanted, self.structures):
            return Outcome(case, "kept")
        try:
            notes = self._written(case)
        except Exception as error:  # noqa: BLE001  reported with its trace, by the caller and in failures.json
            trace = "" if isinstance(error, MedsegError) else traceback.format_exc()
            words = case.identity
            reason = redacted(one_line(error), words)
            return Outcome(case, "failed", perf_counter() - start, reason, redacted(trace, words))
        return Outcome(
            case, "done", perf_counter() - start, notes=tuple(redacted(n, case.identity) for n in notes)
        )

    def _written(self, case: Case) -> tuple[str, ...]:
        # Below the output, where a bundle in restricted mode may write, and out of every pattern's reach.
        self.job.folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.job.folder) as scratch,
            self.mode.kept_in(self.job.folder),
        ):
            staged = stage(case, Path(scratch), allow=self.job.allow)
            result = self._result(case, staged, Path(scratch))
            deliver(case, staged, result, self._named(result.labels), self.job.wanted)
        _sweep(case.output)
        return staged.notes

    def _result(self, case: Case, staged: Staged, scratch: Path) -> Result:
        self._read_confidence(())
        if staged.like is None:
            labels = self.predictor.to_labels(staged.images)
        else:
            at = replace(case, images=staged.images, output=scratch / "labels.nii")
            labels = np.asarray(nib.load(self.predictor.predict(at, overwrite=True)).dataobj)
        confidence = self._read_confidence(self._named(labels))
        asked = self.job.wanted.probabilities
        return Result(labels, confidence, probabilities(self.predictor, staged.images) if asked else None)

    def _named(self, labels: np.ndarray) -> tuple[Structure, ...]:
        """The bundle's structures, or one without a name for each number or map that there is."""
        if self.structures and (labels.ndim < 4 or labels.shape[3] == len(self.structures)):
            return self.structures
        numbers = (
            range(1, labels.shape[3] + 1) if labels.ndim == 4 else (int(n) for n in np.unique(labels) if n)
        )
        return tuple(Structure(f"label {n}", frozenset([n])) for n in numbers)

    def _meter(self) -> Meter | None:
        known = self.predictor.understood
        if known is None:
            return None
        meter = Meter(known.plan.decision.threshold is not None)
        self.predictor.networks = [meter.watching(network) for network in self.predictor.networks]
        return meter

    def _read_confidence(self, structures: Sequence[Structure]) -> dict[str, float]:
        if self.meter is None or self.predictor.understood is None:
            return {}
        means, numbers = self.meter.read(), self.predictor.understood.plan.decision.numbers
        if self.meter.is_regions and numbers is None:
            return {s.name: means[i] for i, s in enumerate(structures) if i in means}
        by_number = {numbers[c] if numbers else c: mean for c, mean in means.items()}
        return {
            s.name: by_number[n] for s in structures for n in s.numbers if n in by_number and not s.is_region
        }


def is_done(case: Case, wanted: Wanted, structures: Sequence[Structure]) -> bool:
    """True where every file that says so exists."""
    outputs = outputs_of(case, wanted, structures)
    return bool(outputs) and all(path.exists() for path in outputs)


def _sweep(output: Path) -> None:
    """Remove what a killed worker left of this case; nobody else works on it."""
    name = re.escape(re.sub(r"(\.nii\.gz|\.[a-z]+)$", "", output.name))
    for path in output.parent.glob(".*.part"):
        if re.fullmatch(rf"\.{name}\..*\d+\.part", path.name):
            path.unlink(missing_ok=True)
