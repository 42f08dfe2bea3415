"""YAML read into a tree with lines, from its events; nothing that a tag names is built."""

from __future__ import annotations

from typing import Any

import yaml

from medseg.bundle.lint.tree import MAX_DEPTH, Node, Source, SourceError

_COLLECTIONS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq"))


def read_yaml(text: str, name: str) -> Source:
    """The tree of one YAML document; `name` is the path that errors show.

    Raises:
        SourceError: it is not YAML, more than one document, builds an object, or is deeper than `MAX_DEPTH`.
    """
    return _Yaml(text, name).parse()


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
