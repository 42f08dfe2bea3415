"""One step of verifying a bundle, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from medseg.bundle.lint.finding import printable


@dataclass(frozen=True)
class Step:
    """What was tried and what was found.

    Attributes:
        name: for example ``weights``.
        status: ``passed``, ``failed``, or ``skipped`` where it does not apply to this bundle.
        detail: one line, with numbers.
    """

    name: str
    status: str
    detail: str

    @property
    def failed(self) -> bool:
        """True where the bundle cannot be trusted to do this."""
        return self.status == "failed"

    def as_dict(self) -> dict[str, str]:
        """The step as JSON takes it."""
        return asdict(self)

    def __str__(self) -> str:
        return printable(f"{self.status:8}{self.name}: {self.detail}")


def passed(name: str, detail: str) -> Step:
    """A step that went well."""
    return Step(name, "passed", detail)


def failed(name: str, detail: str) -> Step:
    """A step that did not."""
    return Step(name, "failed", detail)


def skipped(name: str, detail: str) -> Step:
    """A step that does not apply."""
    return Step(name, "skipped", detail)
