"""A config file as a tree that remembers its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from medseg.errors import BundleError

MAX_DEPTH = 60


@dataclass(eq=False)
class Node:
    """A dict of nodes, a list of nodes, or a plain value, with the line of the config file it stands on."""

    value: Any
    line: int
    file: str

    @property
    def is_component(self) -> bool:
        """True where MONAI would build something from it."""
        return isinstance(self.value, dict) and "_target_" in self.value

    def children(self) -> Iterator[tuple[str, Node]]:
        """Key or index as text, and node, of each child; none for a plain value."""
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from ((str(i), n) for i, n in enumerate(self.value))

    def child(self, key: str) -> Node | None:
        """The child of a key, or of an index as text; None where there is none."""
        if isinstance(self.value, dict):
            found = self.value.get(key)
            return found if isinstance(found, Node) else None
        is_index = isinstance(self.value, list) and key.isascii() and key.isdigit() and len(key) < 9
        return self.value[int(key)] if is_index and int(key) < len(self.value) else None

    def plain(self) -> Any:
        """The value as `json` or `yaml` would have given it."""
        if isinstance(self.value, dict):
            return {k: n.plain() for k, n in self.value.items()}
        return [n.plain() for n in self.value] if isinstance(self.value, list) else self.value


@dataclass
class Source:
    """One parsed file: its tree and the keys that it defines twice."""

    root: Node
    duplicates: list[tuple[str, int]] = field(default_factory=list)


class SourceError(BundleError):
    """A config file that cannot be read as JSON or YAML, with the line in `line`."""

    def __init__(
        self,
        found: str,
        expected: str = "a JSON or YAML mapping of ordinary size",
        do: str = "mend the file",
        *,
        line: int = 0,
    ) -> None:
        super().__init__(found, expected, do)
        self.line = line
