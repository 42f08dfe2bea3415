"""What a run of predictions is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from medseg.inference.delivery import Wanted


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
