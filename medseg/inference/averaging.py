"""Several opinions on one window, averaged before it is blended: mirrored views and several networks.

The average is taken of probabilities within each window, so no opinion is ever held for a whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from medseg.errors import BundleError
from medseg.inference.decision import Decision
from medseg.inference.slabs import Network


@dataclass(frozen=True)
class Mirroring:
    """Which axes are mirrored at test time.

    Attributes:
        axes: of the network's grid; all their combinations are averaged.
        left_right: the axis on which left becomes right, or None.
        pairs: channels that swap with it, for example left and right kidney.
    """

    axes: tuple[int, ...]
    left_right: int | None = None
    pairs: tuple[tuple[int, int], ...] = ()

    def views(self) -> list[tuple[int, ...]]:
        """The mirrored axes of every view, the plain one first."""
        return [view for n in range(len(self.axes) + 1) for view in combinations(self.axes, n)]


def averaged(networks: Sequence[Network], decision: Decision, mirroring: Mirroring | None = None) -> Network:
    """A network whose scores are the mean probabilities of all networks over all views.

    With one network and no mirroring it is that network, with its own scores; otherwise use `after_averaging`
    of the decision, because the activation is applied inside.

    Raises:
        BundleError: networks with different numbers of channels (at the first window).
    """
    if len(networks) == 1 and mirroring is None:
        return networks[0]
    views = mirroring.views() if mirroring else [()]

    def scores(windows: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for network in networks:
            for view in views:
                one = _seen_mirrored(network, windows, view, mirroring)
                one = decision.activated(one.movedim(1, 0)).movedim(0, 1)
                if total is not None and one.shape != total.shape:
                    raise BundleError(
                        f"networks with {total.shape[1]} and {one.shape[1]} channels",
                        "an ensemble of one task",
                        "leave out the one that differs",
                    )
                # A copy, because the next call may overwrite what a runtime gave.
                total = one.clone() if total is None else total.add_(one)
        assert total is not None
        return total / (len(networks) * len(views))

    return scores


def after_averaging(decision: Decision) -> Decision:
    """The decision on scores that are probabilities already."""
    return Decision("none", decision.threshold, decision.numbers)


def _seen_mirrored(
    network: Network, windows: torch.Tensor, view: tuple[int, ...], mirroring: Mirroring | None
) -> torch.Tensor:
    if not view or mirroring is None:
        return network(windows).float()
    dims = [axis + 2 for axis in view]
    scores = network(windows.flip(dims)).float().flip(dims)
    if mirroring.left_right in view:
        order = list(range(scores.shape[1]))
        for a, b in mirroring.pairs:
            order[a], order[b] = order[b], order[a]
        scores = scores[:, order]
    return scores


@dataclass(frozen=True)
class OverSlices:
    """A 2D network as one for windows that are one voxel thick along ``axis`` of space."""

    network: Network
    axis: int

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Scores of windows of shape (batch, channel, …) with one slice each."""
        return self.network(windows.squeeze(self.axis + 2)).unsqueeze(self.axis + 2)
