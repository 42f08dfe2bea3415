"""Chance as a function of the seed and the step: a resumed run draws what it would have drawn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd

from medseg.training.processes import rank
from medseg.training.sampling import Visits


class Randomness:
    """Seeds every generator before every step from (seed, step, process), and puts the sampler in its place.

    Needs nothing of the past: a run that goes on at step k draws what an uninterrupted one draws there. With
    `Visits` as the loader's sampler a run can go on at any step; with another sampler at any epoch's start.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int | None = 0) -> None:
        self.seed = seed or 0

    def attach(self, engine: Engine) -> None:
        """Act before every epoch, every batch and every step of a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)
        # ignite makes a new iterator either before an epoch's first batch or when the old one has run out.
        engine.add_event_handler(Events.DATALOADER_STOP_ITERATION, self._draw, 1)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._draw, 2)
        engine.add_event_handler(Events.ITERATION_STARTED, self._draw, 3)

    def _epoch(self, engine: Engine) -> None:
        self._draw(engine, 1)
        loader, state = getattr(engine, "data_loader", None), engine.state
        sampler = getattr(loader, "sampler", None)
        if isinstance(sampler, Visits):
            n_done = state.iteration % state.epoch_length
            sampler.place(state.epoch - 1, n_done * (getattr(loader, "batch_size", None) or 1))
        elif loader is not None:
            set_rnd(getattr(loader, "dataset", loader), self._number(engine, 1) % 2**31)

    def _draw(self, engine: Engine, purpose: int) -> None:
        seed_all(self._number(engine, purpose))

    def _number(self, engine: Engine, purpose: int) -> int:
        step = engine.state.epoch if purpose == 1 else engine.state.iteration + (purpose == 2)
        return int(np.random.SeedSequence([self.seed, purpose, step, rank()]).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Seed python's, numpy's and torch's generators, those of the GPUs too."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """The state of every generator, in types that a safe loader reads."""
    _, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    states: dict[str, Any] = {"torch": torch.get_rng_state()}
    states["numpy"] = [
        torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        int(place),
        int(has_gauss),
        float(gauss),
    ]
    version, words, gauss_next = random.getstate()
    states["python"] = [version, torch.tensor(words, dtype=torch.int64), gauss_next]
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_generator_states(states: dict[str, Any]) -> None:
    """Put every generator back to what `generator_states` gave."""
    torch.set_rng_state(states["torch"].cpu())
    keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    version, words, gauss_next = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss_next))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
