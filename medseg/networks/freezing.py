"""Transfer learning: which layers learn, when, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from medseg.errors import MedsegError
from medseg.networks.encoders.encoder import Encoder


def freeze(network: nn.Module, n_stages: int) -> None:
    """Keeps the first `n_stages` of the encoder's five as they are and lets the others learn.

    Frozen stages have no gradients, and their batch normalisation uses and keeps its running statistics
    whatever `train` says. 0 lets everything learn.

    Raises:
        MedsegError: a network without an encoder of ours, or a number that is not 0 to 5.
    """
    encoder = encoder_of(network)
    stages = encoder.stages()
    if not 0 <= n_stages <= len(stages):
        raise MedsegError(
            f"{n_stages} frozen stages", f"0 to {len(stages)}", f"freeze {len(stages)} for the whole encoder"
        )
    encoder.n_frozen = n_stages
    for i, stage in enumerate(stages):
        for part in stage:
            part.requires_grad_(i >= n_stages)
    encoder.train(encoder.training)


def encoder_of(network: nn.Module) -> Encoder:
    """The network's encoder, also through a wrapper for several devices.

    Raises:
        MedsegError: it has none of ours.
    """
    inner = getattr(network, "module", network)
    encoder = getattr(inner, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise MedsegError(
            f"{type(inner).__name__} without an encoder that can be told apart",
            "a network of medseg's own, such as unet or deeplabv3plus",
            "choose one, or leave the freezing and the encoder's learning rate out",
        )
    return encoder


class FreezeSchedule:
    """An ignite handler that freezes and unfreezes the encoder as epochs begin.

    Args:
        network: built by `medseg.networks.build`.
        schedule: pairs (epoch, frozen stages), epochs counted from 1 and rising: ``[[1, 5], [3, 3], [6,
            0]]`` trains the decoder alone for two epochs, then also the two deepest stages, from epoch 6
            everything. Resuming in the middle takes the last pair that has begun.

    Raises:
        MedsegError: epochs that do not rise from 1 or later, or stages that the encoder does not have.
    """

    def __init__(self, network: nn.Module, schedule: Sequence[Sequence[int]]) -> None:
        self.network = network
        self.schedule = [(int(epoch), int(n)) for epoch, n in schedule]
        epochs = [epoch for epoch, _ in self.schedule]
        if not epochs or epochs[0] < 1 or sorted(set(epochs)) != epochs:
            raise MedsegError(f"epochs {epochs}", "rising numbers from 1 on", "put the pairs in order")
        for _, n in reversed(self.schedule):
            freeze(network, n)
        if epochs[0] > 1:
            freeze(network, 0)

    def attach(self, engine: Any) -> None:
        """Follow this ignite engine's epochs."""
        from ignite.engine import Events

        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Freeze what the engine's current epoch asks."""
        begun = [n for epoch, n in self.schedule if epoch <= engine.state.epoch]
        freeze(self.network, begun[-1] if begun else 0)


def parameter_groups(
    network: nn.Module, encoder_lr: float | None = None, *, encoder_scale: float = 1.0, n_frozen: int = 0
) -> list[dict[str, Any]]:
    """Two groups for any torch optimiser: the encoder at its own learning rate, the rest at the optimiser's.

    ``params: {_target_: medseg.networks.parameter_groups, network: "@network", encoder_scale: 0.3}``

    Args:
        encoder_lr: the encoder's rate where none changes it later.
        encoder_scale: the encoder's rate as a share of the others'; `medseg.training.LearningRate`, which
            sets every group's rate before each step, multiplies its own by it.

        n_frozen: stages of the encoder that `freeze` keeps as they are for the whole run, in no group.

    Raises:
        MedsegError: a network without an encoder of ours, or a number of stages that it doesn't have.
    """
    freeze(network, n_frozen)
    known = {id(p) for p in encoder_of(network).parameters()}
    encoder = [p for p in encoder_of(network).parameters() if p.requires_grad]
    rest = [p for p in network.parameters() if id(p) not in known]
    own: dict[str, Any] = {"params": encoder, "scale": encoder_scale}
    return [own if encoder_lr is None else own | {"lr": encoder_lr}, {"params": rest}]
