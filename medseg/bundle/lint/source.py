"""A config file as a tree that remembers its lines; nothing in it is built, evaluated or expanded."""

from __future__ import annotations

import bisect
import json.decoder
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import BundleError

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 60
MAX_NODES = 100_000
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<frac>\.\d+)?(?P<exp>[eE][-+]?\d+)?")
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_COLLECTIONS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq"))
_SPACE = re.compile(r"[ \t\n\r]*")


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


def read_source(path: Path, name: str) -> Source:
    """The tree of a JSON or YAML file; `name` is the path that findings show.

    Raises:
        SourceError: it is unreadable, no mapping, larger than 16 MiB, deeper than 60 levels, or has more than
            100,000 values once YAML's aliases are written out.
    """
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{name} has {path.stat().st_size} bytes, more than {MAX_BYTES}")
    is_json = path.suffix.lower() == ".json"
    try:
        # YAML may begin with a byte order mark; Python's json, which MONAI uses, refuses it
        text = path.read_text(encoding="utf-8" if is_json else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    parser = _Json(text, name) if is_json else _Yaml(text, name)
    source = parser.parse()
    if not isinstance(source.root.value, dict):
        raise SourceError(f"{name} holds a {type(source.root.value).__name__}, not a mapping", line=1)
    if expanded_size(source.root) > MAX_NODES:
        raise SourceError(
            f"{name} expands to more than {MAX_NODES} values, as a bomb of nested aliases does", line=1
        )
    return source


def expanded_size(node: Node) -> int:
    """How many values a tree holds when each alias is written out; linear in what is really there."""
    sizes: dict[int, int] = {}

    def size(n: Node) -> int:
        if id(n) not in sizes:
            sizes[id(n)] = 1 + sum(size(child) for _, child in n.children())
        return sizes[id(n)]

    return size(node)


class _Json:
    """JSON by the standard's grammar, with lines; `json` itself forgets them."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name, self.at, self.duplicates = text, name, 0, []  # type: ignore[var-annotated]
        self.line_starts = [m.end() for m in re.finditer("\n", text)]

    def parse(self) -> Source:
        if self.text.startswith("\ufeff"):
            raise self.error("it begins with a byte order mark; save it as UTF-8 without one")
        root = self.value(0)
        self.space()
        if self.at != len(self.text):
            raise self.error("text after the end")
        return Source(root, self.duplicates)

    def line(self) -> int:
        return bisect.bisect_right(self.line_starts, self.at) + 1

    def error(self, what: str) -> SourceError:
        return SourceError(f"{self.name}:{self.line()} is not JSON: {what}", line=self.line())

    def space(self) -> str:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def string(self) -> str:
        try:
            value, self.at = json.decoder.scanstring(self.text, self.at + 1, True)  # type: ignore[attr-defined]
        except json.JSONDecodeError as error:
            raise self.error(error.msg) from error
        return str(value)

    def value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels")
        first, line = self.space(), self.line()
        if first == "{":
            return Node(self.mapping(depth), line, self.name)
        if first == "[":
            return Node(self.sequence(depth), line, self.name)
        if first == '"':
            return Node(self.string(), line, self.name)
        return Node(self.word(), line, self.name)

    def word(self) -> Any:
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        match = _NUMBER.match(self.text, self.at)
        if not match or len(match[0]) > 400:
            raise self.error("a value is missing or misspelt")
        self.at = match.end()
        return float(match[0]) if match["frac"] or match["exp"] else int(match[0])

    def mapping(self, depth: int) -> dict[str, Node]:
        items: dict[str, Node] = {}
        self.at += 1
        if self.space() == "}":
            self.at += 1
            return items
        while True:
            if self.space() != '"':
                raise self.error("a key in double quotes is missing")
            line, key = self.line(), self.string()
            if self.space() != ":":
                raise self.error("a colon is missing")
            self.at += 1
            node = self.value(depth + 1)
            node.line = line
            if key in items:
                self.duplicates.append((key, line))
            items[key] = node
            if not self.more("}"):
                return items

    def sequence(self, depth: int) -> list[Node]:
        items: list[Node] = []
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if not self.more("]"):
                return items

    def more(self, end: str) -> bool:
        found = self.space()
        if found not in (",", end):
            raise self.error(f"a comma or {end} is missing")
        self.at += 1
        return found == ","


class _Yaml:
    """YAML from its events, so that depth and aliases are counted before anything is built."""

    def __init__(self, text: str, name: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.name, self.duplicates = name, []  # type: ignore[var-annotated]
        self.anchors: dict[str, Node] = {}
        self.loader: Any = loader(text)

    def parse(self) -> Source:
        try:
            for start in (yaml.StreamStartEvent, yaml.DocumentStartEvent):
                if not self.loader.check_event(start):
                    raise SourceError(f"{self.name} is empty", line=1)
                self.loader.get_event()
            root = self.node(0)
            self.loader.get_event()
            if not self.loader.check_event(yaml.StreamEndEvent):
                raise SourceError(f"{self.name} holds more than one document", line=1)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            raise SourceError(
                f"{self.name}:{line} is not YAML: {error.problem or error.context}", line=line
            ) from error
        except yaml.YAMLError as error:
            raise SourceError(f"{self.name} is not YAML: {error}".replace("\n", " "), line=0) from error
        finally:
            self.loader.dispose()
        return Source(root, self.duplicates)

    def node(self, depth: int) -> Node:
        event = self.loader.get_event()
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise SourceError(f"{self.name}:{line} has more than {MAX_DEPTH} levels", line=line)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise SourceError(
                    f"{self.name}:{line} alias *{event.anchor} has no anchor before it", line=line
                )
            known = self.anchors[event.anchor]
            return Node(known.value, line, self.name)
        if not isinstance(event, yaml.ScalarEvent) and event.tag not in (None, "!", *_COLLECTIONS):
            raise SourceError(f"{self.name}:{line} builds an object by its tag {event.tag}", line=line)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node(self.mapping(depth), line, self.name)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self.sequence(depth), line, self.name)
        else:
            node = Node(self.scalar(event, line), line, self.name)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def scalar(self, event: Any, line: int) -> Any:
        tag = event.tag or self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if not tag.startswith("tag:yaml.org,2002:") or tag.startswith("tag:yaml.org,2002:python"):
            raise SourceError(f"{self.name}:{line} has the tag {tag}, which builds an object", line=line)
        if len(event.value) > 2000 and tag.endswith((":int", ":float")):
            raise SourceError(f"{self.name}:{line} has a number of {len(event.value)} digits", line=line)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError, TypeError, OverflowError, IndexError) as error:
            told = f"{self.name}:{line} has {event.value[:40]!r}, which is no {tag.rpartition(':')[2]}"
            raise SourceError(told, line=line) from error

    def sequence(self, depth: int) -> list[Node]:
        items = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            items.append(self.node(depth + 1))
        self.loader.get_event()
        return items

    def mapping(self, depth: int) -> dict[str, Node]:
        items: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            key_node = self.node(depth + 1)
            if isinstance(key_node.value, (dict, list)):
                raise SourceError(
                    f"{self.name}:{key_node.line} has a key that is no text", line=key_node.line
                )
            key, node = str(key_node.value), self.node(depth + 1)
            if key == "<<":
                for part in node.value if isinstance(node.value, list) else [node]:
                    merged = dict(part.children()) | merged
                continue
            if key in items:
                self.duplicates.append((key, key_node.line))
            node.line = key_node.line
            items[key] = node
        self.loader.get_event()
        return merged | items
