"""What a run must remember to go on after it was killed: each part tells and takes its own state."""

from __future__ import annotations

from typing import Any, Protocol

from ignite.engine import Engine


class Part(Protocol):
    """Anything with a state of plain values and tensors."""

    def state_dict(self) -> dict[str, Any]:
        """What it must remember."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from what it remembered."""


def remember(engine: Engine, name: str, part: Part) -> None:
    """Let the checkpoints of this trainer hold `part` too, under `name`."""
    parts_of(engine)[name] = part


def parts_of(engine: Engine) -> dict[str, Part]:
    """All parts that `remember` was told of, by name."""
    if not hasattr(engine.state, "parts"):
        engine.state.parts = {}
    parts: dict[str, Part] = engine.state.parts
    return parts
