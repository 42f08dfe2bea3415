"""What an expression in a config may call, ask and name."""

from __future__ import annotations

import ast
import re

CALLS = frozenset(
    [
        "len",
        "list",
        "tuple",
        "dict",
        "set",
        "sorted",
        "zip",
        "enumerate",
        "range",
        "int",
        "float",
        "str",
        "bool",
        "min",
        "max",
        "sum",
        "abs",
        "round",
        "any",
        "all",
        "torch.device",
        "torch.cuda.is_available",
        "torch.cuda.device_count",
        "torch.manual_seed",
        "monai.handlers.from_engine",
        "monai.utils.set_determinism",
    ]
)
FILE_CALLS = frozenset(
    [
        "glob.glob",
        "os.path.join",
        "os.path.basename",
        "os.path.dirname",
        "os.path.exists",
        "os.path.isfile",
        "monai.data.load_decathlon_datalist",
        "monai.data.partition_dataset",
    ]
)
METHODS = frozenset(
    [
        "to",
        "parameters",
        "run",
        "train",
        "eval",
        "keys",
        "values",
        "items",
        "get",
        "lower",
        "upper",
        "strip",
        "split",
        "replace",
        "startswith",
        "endswith",
        "index",
        "count",
    ]
)
MODULES = frozenset(
    [
        "glob",
        "os",
        "math",
        "json",
        "numpy",
        "torch",
        "monai",
        "ignite",
        "datetime",
        "nibabel",
        "scipy",
    ]
)
VALUES = re.compile(
    r"(torch|numpy|np)\.(float|int|uint)(8|16|32|64)|(torch|np|numpy)\.(bool|bool_|long|half|float|double)"
    r"|torch\.(channels_last|channels_last_3d|contiguous_format)"
    r"|(math|numpy|np)\.(pi|inf|e)|monai\.utils\.(enums\.)?[A-Z]\w*\.[A-Z]\w*|monai\.data\.(pad_)?list_data_collate"
    r"|torch\.nn\.functional\.[a-z]+|torch\.(sigmoid|softmax|relu|tanh)"
)
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
PLAIN = (
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Dict,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
)
PARTS = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.keyword, ast.Slice)


class RefusedError(Exception):
    """An expression is outside the allowed set; the text says why."""


def dotted(node: ast.expr) -> str:
    """``a.b.c`` as text; empty where the node is anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""
