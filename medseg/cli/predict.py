"""`medseg predict`: label maps for scans, by a bundle."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import SOME_FAILED, RayAddress, Trust
from medseg.errors import MedsegError

if TYPE_CHECKING:
    from rich.progress import Progress

    from medseg.inference.cases import Case
    from medseg.inference.cohort import Outcome


class Engine(str, Enum):
    """Who brings scores back to the scan."""

    auto = "auto"
    stream = "stream"
    stock = "stock"


class Runtime(str, Enum):
    """What runs the network."""

    auto = "auto"
    int8 = "int8"
    torch = "torch"
    compile = "compile"
    onnx = "onnx"
    openvino = "openvino"


class Format(str, Enum):
    """What label maps are written as."""

    auto = "auto"
    nifti = "nifti"
    nrrd = "nrrd"
    mha = "mha"
    png = "png"
    tiff = "tiff"
    dicom = "dicom"


class SegType(str, Enum):
    """Of DICOM segmentation objects."""

    binary = "binary"
    labelmap = "labelmap"


SUFFIXES = {
    "auto": "",
    "nifti": ".nii.gz",
    "nrrd": ".nrrd",
    "mha": ".mha",
    "png": ".png",
    "tiff": ".tif",
    "dicom": ".dcm",
}


def predict(
    bundles: Annotated[
        list[Path], typer.Argument(help="Folder of a MONAI bundle; several of one kind are averaged.")
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "-i", "--input", help="A scan, a folder, an archive, a list or a quoted pattern; may be repeated."
        ),
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
    trust: Trust = False,
    max_ram: Annotated[
        str | None, typer.Option("--max-ram", help="Memory that may be taken, such as 4G; same labels.")
    ] = None,
    runtime: Annotated[
        Runtime, typer.Option(help="auto measures once; int8 is fast, gives other labels and says how many.")
    ] = Runtime.torch,
    file_format: Annotated[
        Format,
        typer.Option("--format", help="auto: the scan's own, for DICOM a DICOM SEG and NIfTI; else for all."),
    ] = Format.auto,
    seg_type: Annotated[
        SegType,
        typer.Option(help="Of DICOM SEG: binary for all viewers, or labelmap, small and new."),
    ] = SegType.binary,
    rtstruct: Annotated[
        bool, typer.Option("--rtstruct", help="Also an RTSTRUCT of each DICOM series.")
    ] = False,
    per_structure: Annotated[
        bool, typer.Option("--per-structure", help="A file per structure instead of one label map.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also the probability of each class, as NIfTI.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also a contact sheet of each case, PNG.")
    ] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Name pattern of a channel's files, as '*_t1.nii.gz'; once per channel, in order."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that a manifest's paths are relative to; else its own.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A finding that shall not refuse a scan, as dicom-tilt, dicom-slices, finite."),
    ] = None,
    with_names: Annotated[
        bool, typer.Option("--with-names", help="Let patients' names into file names, logs and lists.")
    ] = False,
    hide_names: Annotated[
        bool, typer.Option("--hide-names", help="Name cases by their content; no input's path is written.")
    ] = False,
    names_key: Annotated[
        Path | None, typer.Option(help="With --hide-names: a table of names and inputs, for you alone.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; with --ray actors, 0 for all.")] = 1,
    ray: RayAddress = "",
) -> None:
    """Write the label map of every scan, on the scan's own grid.

    A label map that exists is kept, so that an interrupted run goes on. A scan that can't be done is told and
    listed in failures.json, the others go on; exit code 3. volumes.csv says how much there is of what.
    """
    from medseg.bundle.predicting import inference_config
    from medseg.bundle.restricted import check
    from medseg.bundle.structures import channels_of, n_channels_of
    from medseg.distributed.job import Job
    from medseg.distributed.run import run_cohort
    from medseg.inference.delivery import Wanted
    from medseg.inference.hiding import write_key
    from medseg.inference.intake import gather
    from medseg.inference.memory import parse_size
    from medseg.writers.lock import hold

    _refuse_contradictions(with_names, hide_names, names_key)
    for bundle in bundles:
        check(bundle, trust=trust, files=[inference_config(bundle)])
    job = Job(
        tuple(bundle.resolve() for bundle in bundles),
        output.resolve(),
        device=device,
        engine=engine.value,
        runtime=runtime.value,
        max_ram=parse_size(max_ram) if max_ram else None,
        trust=trust,
        overwrite=overwrite,
        wanted=Wanted(per_structure, seg_type.value, preview, probabilities, rtstruct),
        allow=tuple(allow or ()),
    )
    with hold(output):
        cases = gather(
            inputs,
            output,
            suffix=SUFFIXES[file_format.value],
            channels=channel or (),
            n_channels=n_channels_of(bundles[0]),
            names=channels_of(bundles[0]),
            data=data,
            with_names=with_names,
            hide=hide_names,
            tell_left_out=partial(_tell_left_out, output),
        )
        if names_key:
            write_key(names_key, cases, output, overwrite=overwrite)
        outcomes = run_cohort(job, cases, output, n_workers=workers or int(not ray), ray_address=ray)
        count = Counter(outcome.status for outcome in _told(outcomes, len(cases)))
    typer.echo(
        f"{count['done']} done, {count['kept']} kept, {count['failed']} failed; label maps in {output}"
    )
    if count["failed"]:
        raise typer.Exit(SOME_FAILED)


def _refuse_contradictions(with_names: bool, hide_names: bool, names_key: Path | None) -> None:
    if hide_names and with_names:
        raise MedsegError("--hide-names and --with-names", "one of them", "leave one out")
    if names_key and not hide_names:
        raise MedsegError("--names-key alone", "--hide-names with it", "add it, or leave out --names-key")


def _tell_left_out(folder: Path, left_out: Sequence[Case]) -> None:
    from medseg.distributed.ledger import write_left_out
    from medseg.inference.intake import counted

    if write_left_out(folder, left_out):
        n = len(left_out)
        sys.stderr.write(f"medseg: {n} series left out: {counted(left_out)}; see left_out.json\n")


def _told(outcomes: Iterator[Outcome], n_cases: int) -> Iterator[Outcome]:
    """Each outcome, after telling it: a bar on a terminal, a plain line elsewhere, failures on stderr."""
    with _bar(n_cases) as bar:
        for i, outcome in enumerate(outcomes, start=1):
            case = outcome.case
            for note in outcome.notes:
                sys.stderr.write(f"medseg: {case.name}: note: {note}\n")
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
