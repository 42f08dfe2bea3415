"""JSON read into a tree with lines; Python's own reader forgets them."""

from __future__ import annotations

import bisect
import json.decoder
import math
import re
from typing import Any

from medseg.bundle.lint.tree import MAX_DEPTH, Node, Source, SourceError

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<frac>\.\d+)?(?P<exp>[eE][-+]?\d+)?")
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_SPACE = re.compile(r"[ \t\n\r]*")


def read_json(text: str, name: str) -> Source:
    """The tree of JSON by the standard's grammar; `name` is the path that errors show.

    Raises:
        SourceError: it is not JSON, or deeper than `MAX_DEPTH`.
    """
    return _Json(text, name).parse()


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
