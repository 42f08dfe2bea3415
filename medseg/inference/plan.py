"""What a bundle asks of the engine, as plain values: windows, decision, mirroring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from medseg.inference.averaging import Mirroring, OverSlices, after_averaging, averaged
from medseg.inference.decision import Activation, Decision
from medseg.inference.slabs import Network
from medseg.inference.windows import Windows


@dataclass(frozen=True)
class Plan:
    """How a preprocessed volume becomes labels.

    Attributes:
        slice_axis: axis of the network's grid along which a 2D network goes slice by slice; None in 3D.
    """

    windows: Windows
    decision: Decision = field(default_factory=Decision)
    mirroring: Mirroring | None = None
    slice_axis: int | None = None

    def scoring(self, networks: Sequence[Network]) -> Network:
        """One network for windows, from one or several of the bundle's kind."""
        if self.slice_axis is not None:
            networks = [OverSlices(network, self.slice_axis) for network in networks]
        return averaged(networks, self.decision, self.mirroring)

    def deciding(self, n_networks: int = 1) -> Decision:
        """The decision on what `scoring` gives."""
        return after_averaging(self.decision) if self.mirroring or n_networks > 1 else self.decision

    def finishing(self) -> Activation:
        """What makes probabilities of what the decision compares, on the scan's own grid."""
        if self.decision.activation != "none":
            return "none"
        return "softmax" if self.decision.threshold is None else "sigmoid"
