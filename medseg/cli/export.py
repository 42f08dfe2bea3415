"""`medseg export` and `medseg verify-export`: a bundle's network for other runtimes, and the proof of it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import Trust

if TYPE_CHECKING:
    from medseg.bundle.export import Verified

NOT_EQUAL = 3


class Format(str, Enum):
    """What a network can be exported to."""

    onnx = "onnx"
    openvino = "openvino"
    torchscript = "torchscript"
    torch_export = "torch-export"


def export(
    bundle: Annotated[Path, typer.Argument(help="Folder of a MONAI bundle.")],
    to: Annotated[Format, typer.Option("--to", help="The format.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; the bundle's models/FORMAT if left out.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    trust: Trust = False,
) -> None:
    """Write the network for another runtime, and beside it what comes before and after it.

    The result is verified on a phantom at once; exit code 3 where its labels differ.
    """
    from medseg.bundle.export import export as exported
    from medseg.bundle.export import verify

    folder = output or bundle / "models" / to.value
    path = exported(bundle, to.value, folder, overwrite=overwrite, trust=trust)
    typer.echo(f"{path}\n{folder / 'export.json'}")
    _report(verify(bundle, path, [], trust=trust))


def verify_export(
    bundle: Annotated[Path, typer.Argument(help="Folder of a MONAI bundle.")],
    exported: Annotated[Path, typer.Argument(help="What `medseg export` wrote.")],
    inputs: Annotated[
        list[str] | None, typer.Option("-i", "--input", help="Scans, folders or patterns; may be repeated.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Compare labels end to end, on a phantom and on the scans given; exit code 3 where they differ."""
    from medseg.bundle.export import verify
    from medseg.errors import DataError
    from medseg.inference.intake import gather

    if not exported.is_file():
        raise DataError(f"no file {exported}", "what `medseg export` wrote", "export first")
    cases = gather(inputs, Path("_")) if inputs else []
    _report(verify(bundle, exported, [case.images[0] for case in cases], trust=trust))


def _report(found: list[Verified]) -> None:
    for one in found:
        verdict = "equal" if one.is_equal else "DIFFERENT"
        differ = f"{one.disagreement:.1e} of {one.n_voxels} labels differ"
        typer.echo(f"{verdict} {one.name}: {differ}, {one.n_labels} labels")
    if not all(one.is_equal for one in found):
        raise typer.Exit(NOT_EQUAL)
