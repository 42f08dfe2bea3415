"""From a scan that was read and checked to its labels, what they are called, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from medseg.bundle.predicting import Predictor, load_ensemble
from medseg.bundle.probabilities import probabilities
from medseg.bundle.structures import asks_of, structures_of
from medseg.distributed.job import Job
from medseg.errors import GeometryError, MedsegError
from medseg.inference.cases import Case
from medseg.inference.confidence import Meter
from medseg.inference.delivery import Result
from medseg.inference.probabilities import read_back
from medseg.inference.staging import Staged
from medseg.labels import Structure


class Labeller:
    """The bundles of a job, loaded once, and what they know of structures and of the scans they ask for.

    Raises:
        BundleError: a bundle can't be loaded, or several don't fit together.
    """

    def __init__(self, job: Job) -> None:
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
        self._with_probabilities = job.wanted.probabilities
        self._meter = self._watching()

    def result(self, case: Case, staged: Staged, scratch: Path) -> Result:
        """Labels on the scan's grid, how sure the network was, and probabilities where they are wanted.

        Args:
            scratch: a folder for what is too large for memory.

        Raises:
            GeometryError: the scan is not of the kind that the bundle was made for.
        """
        self._read_confidence(())
        self.predictor.probabilities = scratch / "probabilities" if self._with_probabilities else None
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
        confidence = self._read_confidence(self.named(labels, staged))
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

    def told(self) -> tuple[str, ...]:
        """What the predictor had to say since the last time."""
        told, self._told[:] = tuple(self._told), []
        return told

    def named(self, labels: np.ndarray, staged: Staged) -> tuple[Structure, ...]:
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

    def _watching(self) -> Meter | None:
        known = self.predictor.understood
        if known is None:
            return None
        is_averaged = known.plan.mirroring is not None or len(self.predictor.modules) > 1
        decision = known.plan.decision
        meter = Meter(decision.threshold is not None, is_averaged and decision.activation != "none")
        self.predictor.watch = meter.watching
        return meter

    def _read_confidence(self, structures: Sequence[Structure]) -> dict[str, float]:
        if self._meter is None or self.predictor.understood is None:
            return {}
        return self._meter.read_by_name(structures, self.predictor.understood.plan.decision.numbers)
