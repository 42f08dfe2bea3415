"""`medseg predict`: label maps for scans, by a bundle."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from medseg.inference.cohort import Outcome

SOME_FAILED = 3


class Engine(str, Enum):
    """Who brings scores back to the scan."""

    auto = "auto"
    stream = "stream"
    stock = "stock"


class Runtime(str, Enum):
    """What runs the network."""

    auto = "auto"
    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


def predict(
    bundles: Annotated[
        list[Path], typer.Argument(help="Folder of a MONAI bundle; several of one kind are averaged.")
    ],
    inputs: Annotated[
        list[str],
        typer.Option("-i", "--input", help="A scan, a folder or a quoted pattern; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the label maps.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace label maps that exist.")] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps; the bundle's own if left out.")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(help="stream: medseg's own; stock: the bundle's inferer and Invertd as they are."),
    ] = Engine.auto,
    trust: Annotated[bool, typer.Option("--trust", help="Run whatever the bundle holds.")] = False,
    max_ram: Annotated[
        str | None, typer.Option("--max-ram", help="Memory that may be taken, such as 4G; same labels.")
    ] = None,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the network; auto measures once and remembers.")
    ] = Runtime.torch,
) -> None:
    """Write the label map of every scan, on the scan's own grid.

    A label map that exists is kept. A scan that can't be done is told, the others go on; exit code 3.
    """
    from medseg.bundle.predicting import inference_config, load_ensemble
    from medseg.bundle.restricted import check
    from medseg.inference.cases import find_cases
    from medseg.inference.cohort import predict_cases
    from medseg.inference.memory import parse_size

    limit = parse_size(max_ram) if max_ram else None
    modes = [check(bundle, trust=trust, files=[inference_config(bundle)]) for bundle in bundles]
    cases = find_cases(inputs, output)
    mode = next((m for m in modes if not m.full), modes[0])
    with mode.kept_in(output):
        predictor = load_ensemble(
            bundles,
            device=device,
            engine=engine.value,
            trust=trust,
            max_ram=limit,
            runtime=runtime.value,
            output=output.resolve(),
        )
        predictor.tell = lambda text: sys.stderr.write(f"medseg: {text}\n")
        if predictor.why_stock:
            predictor.tell(f"the bundle's own post-processing is used: {predictor.why_stock}")
        outcomes = predict_cases(
            cases, lambda case: predictor.predict(case, overwrite=overwrite), overwrite=overwrite
        )
        count = Counter(outcome.status for outcome in _told(outcomes, len(cases)))
    typer.echo(
        f"{count['done']} done, {count['kept']} kept, {count['failed']} failed; label maps in {output}"
    )
    if count["failed"]:
        raise typer.Exit(SOME_FAILED)


def _told(outcomes: Iterator[Outcome], n_cases: int) -> Iterator[Outcome]:
    """Each outcome, after telling it: a bar on a terminal, a plain line elsewhere, failures on stderr."""
    with _bar(n_cases) as bar:
        for i, outcome in enumerate(outcomes, start=1):
            case = outcome.case
            if outcome.status == "failed":
                sys.stderr.write(f"medseg: {case.name}: {outcome.reason}\n")
            elif bar is None:
                spent = f"{outcome.wall_s:.1f} s" if outcome.status == "done" else "kept, exists already"
                typer.echo(f"{i}/{n_cases} {case.output} ({spent})")
            if bar is not None:
                bar.update(bar.task_ids[0], advance=1, description=case.name)
            yield outcome


@contextmanager
def _bar(n_cases: int) -> Iterator[Progress | None]:
    if not sys.stdout.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        bar.add_task("predict", total=n_cases)
        yield bar
