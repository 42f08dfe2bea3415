"""Arguments by which an allowed class would still load code, leave the output folder or use the network."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from medseg.bundle.lint.allowed import dotted
from medseg.bundle.lint.config import UNKNOWN, Config
from medseg.bundle.lint.packages import Definition, Packages
from medseg.bundle.lint.signature import signature
from medseg.bundle.lint.syntax import placeholders
from medseg.bundle.lint.tree import Node

OUTPUT_IDS = ("output_dir", "ckpt_dir")
"""Ids that medseg itself sets to places below the output folder when a stranger's bundle runs."""

READERS = frozenset(["nibabelreader", "itkreader", "nrrdreader", "pilreader", "pydicomreader", "numpyreader"])
WRITERS = frozenset(["nibabelwriter", "itkwriter", "pilwriter"])
_FOLDERS = frozenset(
    ["output_dir", "save_dir", "log_dir", "out_dir", "cache_dir", "savepath", "output", "out"]
)
_OURS = frozenset(["folder", "path", "file", "report", "table"])
_NAMES = frozenset(
    [
        "output_postfix",
        "output_ext",
        "final_filename",
        "key_metric_filename",
        "file_prefix",
        "name",
        "filename",
        "output_format",
        "output_type",
    ]
)
_CHOOSES = frozenset(
    ["merger_cls", "output_name_formatter", "folder_layout", "savepath_in_metadict", "data_root_dir"]
)
_PLAIN_NAME = re.compile(r"[\w .+-]*")
_NEEDED = {
    "SaveImage": "output_dir",
    "SaveImaged": "output_dir",
    "TensorBoardHandler": "log_dir",
    "TensorBoardStatsHandler": "log_dir",
    "TensorBoardImageHandler": "log_dir",
    "LogfileHandler": "output_dir",
    "LearningRateFinder": "cache_dir",
}
"""Where the default of an argument is a place outside the output folder: it must be given."""
_WORKERS = frozenset(["num_workers", "num_init_workers", "num_replace_workers", "copy_cache_workers"])
_MOST_WORKERS = 64
_LARGEST = 2**32
"""Seeds go up to here; a size beyond it is no size of anything on this machine."""
_ADDRESS = re.compile(r"^\s*(https?|ftps?|s3|gs|file|tcp)://", re.IGNORECASE)
_WRITING_ROOMS = ("medseg.writers", "medseg.training", "medseg.evaluation")


def argument_faults(
    node: Node, found: Definition, config: Config, packages: Packages
) -> Iterator[tuple[Node, str]]:
    """Each argument of an allowed component that is refused, with the reason."""
    for key, child in node.children():
        if not (key.startswith("_") and key.endswith("_")) and (why := _why(key, child, found, config)):
            yield child, f"{found.name}({key}=…): {why}"
    needed = _NEEDED.get(found.name)
    given = node.value.get(needed) if needed else None
    if needed and (given is None or _value(given, config) is None):
        yield node, f"{found.name} writes to a default place; give {needed} below @output_dir"
    taken = signature(found, packages)
    for key in taken.names:
        if key.startswith("pretrained") and taken.defaults.get(key) is True and key not in node.value:
            yield node, f"{found.name} downloads weights unless {key} is false"
    if found.name in ("LoadImage", "LoadImaged", "SaveImage", "SaveImaged"):
        for key, child in node.children():
            if key not in taken.names and not key.startswith("_"):
                yield (
                    child,
                    f"{found.name}({key}=…): an argument that would be handed on to a reader or writer",
                )


def _why(key: str, node: Node, found: Definition, config: Config) -> str:
    value = _value(node, config)
    if isinstance(value, str) and _ADDRESS.match(value) and key != "backend":
        return f"{value[:80]} is an address; there is no network"
    # medseg's own builder knows the published weights by hash; off the network it takes installed ones alone.
    is_known = value == "imagenet" and found.module.startswith("medseg.networks")
    if key.startswith("pretrained") and value not in (False, None, "") and not is_known:
        return "weights would be downloaded or read from elsewhere"
    if key == "allow_pickle" or (key == "weights_only" and value is not True):
        return "a pickle may run code when it is read"
    if key in ("multiprocessing_context", "compile", "compile_kwargs") and value not in (False, None):
        return "it would start programs"
    if (why := _too_much(key, value)) or (why := _choice(key, value)):
        return why
    return _place(key, value, node, found, config)


def _too_much(key: str, value: object) -> str:
    if key in _WORKERS and not (value is None or (isinstance(value, int) and value <= _MOST_WORKERS)):
        return f"more than {_MOST_WORKERS} worker processes, or a number that is not known beforehand"
    numbers = value if isinstance(value, list) else [value]
    huge = [n for n in numbers if isinstance(n, int) and abs(n) >= _LARGEST]
    return f"{huge[0]} is larger than anything here can be" if huge else ""


def _choice(key: str, value: object) -> str:
    if key == "reader":
        return _listed(value, READERS, "a reader")
    if key == "writer":
        return _listed(value, WRITERS, "a writer")
    if key in _CHOOSES and value:
        return "a class or path that the config chooses"
    if key in _NAMES and value is UNKNOWN:
        return "a name that is not known beforehand"
    if key in _NAMES and isinstance(value, str) and (".." in value or not _PLAIN_NAME.fullmatch(value)):
        return f"{value[:80]!r} is more than a plain name"
    return ""


def _place(key: str, value: object, node: Node, found: Definition, config: Config) -> str:
    is_ours = any(found.module.startswith(room) for room in _WRITING_ROOMS)
    if key in _FOLDERS or (is_ours and key in _OURS):
        if value is None or below_output(node.value, config):
            return ""
        return f"{str(node.value)[:80]} is not below the output folder; write @output_dir"
    if key == "load_path":
        return "" if inside_bundle(node.value, config) else f"{str(node.value)[:80]} lies outside the bundle"
    return ""


def _value(node: Node, config: Config) -> object:
    """The literal, or what a reference leads to; `UNKNOWN` where only running tells."""
    if isinstance(node.value, str) and node.value.startswith("@"):
        return config.known(node.value[1:])
    if isinstance(node.value, str) and node.value.startswith("$"):
        return None if node.value.strip() in ("$None", "$ None") else UNKNOWN
    return node.plain()


def _listed(value: object, known: frozenset[str], what: str) -> str:
    if value is None or isinstance(value, dict):
        return ""  # a component is judged by its own _target_
    values = value if isinstance(value, list) else [value]
    strange = [v for v in values if not isinstance(v, dict) and str(v).lower() not in known]
    return f"{str(strange[0])[:80]} is not {what} that medseg knows" if strange else ""


def below_output(value: object, config: Config, depth: int = 0) -> bool:
    """True where a path begins with `OUTPUT_IDS` and never climbs out again."""
    return _begins_with(value, config, OUTPUT_IDS, depth)


def inside_bundle(value: object, config: Config) -> bool:
    """True where a path begins with the bundle's root or an output id and never climbs out again."""
    return _begins_with(value, config, ("bundle_root", *OUTPUT_IDS), 0)


def _begins_with(value: object, config: Config, roots: tuple[str, ...], depth: int) -> bool:
    if not isinstance(value, str) or depth > 20:
        return False
    if value.startswith("@"):
        item_id = value[1:].replace("#", "::")
        node = config.items.get(item_id)
        return item_id in roots or (node is not None and _begins_with(node.value, config, roots, depth + 1))
    if not value.startswith("$"):
        return False
    code, names = placeholders(value)
    try:
        parts = _parts(ast.parse(code, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError):
        return False
    first, rest = parts[0], parts[1:]
    if not isinstance(first, ast.Name) or not _begins_with(
        f"@{names.get(first.id, '')}", config, roots, depth + 1
    ):
        return False
    return all(_harmless(part, names, config) for part in rest)


def _parts(tree: ast.expr) -> list[ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*_parts(tree.left), *_parts(tree.right)]
    if isinstance(tree, ast.Call) and dotted(tree.func) == "os.path.join" and tree.args:
        return [*_parts(tree.args[0]), *(ast.BinOp(ast.Constant("/"), ast.Add(), a) for a in tree.args[1:])]
    return [tree]


def _harmless(part: ast.expr, names: dict[str, str], config: Config) -> bool:
    """A text without ``..``; below `os.path.join` also without a leading slash."""
    joined = isinstance(part, ast.BinOp)
    inner = part.right if isinstance(part, ast.BinOp) else part
    values = _possible(inner, names, config)
    if not all(isinstance(v, (str, int)) and ".." not in str(v) for v in values):
        return False
    return not (joined and any(str(v).startswith(("/", "\\")) for v in values))


def _possible(tree: ast.expr, names: dict[str, str], config: Config) -> list[object]:
    """Every value that a part of a path may take: one, or the two of ``a if … else b``."""
    if isinstance(tree, ast.IfExp):
        return [*_possible(tree.body, names, config), *_possible(tree.orelse, names, config)]
    if isinstance(tree, ast.Constant):
        return [tree.value]
    item_id = names.get(tree.id, "") if isinstance(tree, ast.Name) else ""
    node = config.items.get(item_id)
    if node is None or not isinstance(node.value, str) or not node.value.startswith("$"):
        return [config.known(item_id)]
    code, _ = placeholders(node.value)
    try:
        choice = ast.parse(code, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return [UNKNOWN]
    both = [choice.body, choice.orelse] if isinstance(choice, ast.IfExp) else []
    return [c.value if isinstance(c, ast.Constant) else UNKNOWN for c in both] or [UNKNOWN]
