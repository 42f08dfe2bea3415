"""What every encoder has in common: stages that can be frozen."""

from __future__ import annotations

from torch import nn


class Encoder(nn.Module):
    """Gives five feature maps from fine to coarse.

    Attributes:
        channels: how many channels each of the five has.
        strides: how much coarser than the input each is.
        n_frozen: how many stages, from the input on, keep their weights and their norms' statistics.
    """

    # Not annotated, because TorchScript cannot read a class's annotations where they are strings.
    channels = tuple[int, ...]()
    strides = tuple[int, ...]()

    def __init__(self) -> None:
        super().__init__()
        self.n_frozen = 0

    def stages(self) -> list[list[nn.Module]]:
        """What belongs together when layers are frozen, from the input on."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Encoder:
        """As torch's, but frozen stages stay in evaluation, so that their running statistics stay too."""
        super().train(mode)
        if mode and self.n_frozen > 0:
            for stage in self.stages()[: self.n_frozen]:
                for part in stage:
                    part.eval()
        return self
