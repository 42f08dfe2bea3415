"""`medseg data`: from a folder, or an address, to a checked manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import SOME_FAILED
from medseg.cli.progress import progress_bar
from medseg.errors import ManifestError, OutputError

if TYPE_CHECKING:
    from medseg.data.layouts import Layout
    from medseg.data.manifest import Manifest


app = typer.Typer(
    help="Fetch, recognise, check, split and describe a data set.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A data set of data_manifests/, or a manifest file.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the data set.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that differ.")] = False,
) -> None:
    """Download a public data set, resume where it broke off, and check every file."""
    from medseg.data.fetch import fetch, fetch_archives

    manifest = _named_manifest(name)
    typer.echo(f"{manifest.name}: {manifest.licence or 'no licence stated'}; {manifest.citation}")
    if manifest.archives:
        with progress_bar("downloading", megabytes=True) as progress:
            checks = fetch_archives(manifest, to, progress=progress)
        for url, check in checks.items():
            typer.echo(f"{url}: {check}")
        typer.echo(f"next: medseg data scan {to} -o {name}.json")
        return
    with progress_bar("downloading", megabytes=True) as progress:
        count = fetch(manifest, to, progress=progress, overwrite=overwrite)
    total = sum(1 for c in manifest.items for _ in c.files())
    typer.echo(f"{to}: {total} files right, {count} of them new")


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="A folder of scans in any of the known layouts.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the manifest here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the manifest.")] = False,
) -> None:
    """Recognise a folder of scans, show what was taken for what, and write its manifest."""
    from medseg.data.isolation import Reader
    from medseg.data.manifest import write_manifest
    from medseg.data.scanning import scan as scan_folder

    with Reader() as reader:
        manifest, layout = scan_folder(folder, reader=reader, hashes=output is not None)
    for line in _describe(manifest, layout):
        typer.echo(line)
    if output is None:
        typer.echo("nothing written; -o FILE writes the manifest")
        return
    write_manifest(manifest, output, overwrite)
    typer.echo(f"wrote {output}; next: medseg data check {output} --data {folder}")


@app.command()
def merge(
    folder: Annotated[Path, typer.Argument(help="A folder with a label map for every structure.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the manifest here.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the label maps; merged_labels in FOLDER.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was merged before.")] = False,
) -> None:
    """Make one label map per case out of a file per structure; the files themselves stay as they are.

    Overlaps are told, the smaller structure keeps the voxels. A case that can't be merged is told and left
    out; exit code 3.
    """
    from medseg.data.isolation import Reader
    from medseg.data.manifest import write_manifest
    from medseg.data.scanning import scan as scan_folder
    from medseg.planning.merging import merge as merge_folder

    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} exists", "a new file", "name another one, or say --overwrite")
    with Reader() as reader, progress_bar("merged") as progress:
        made = merge_folder(folder, to, reader=reader, overwrite=overwrite, progress=progress)
        manifest, layout = scan_folder(
            made.root, reader=reader, hashes=output is not None, only=[made.record]
        )
    for line in (*_describe(manifest, layout), *made.told()):
        typer.echo(line)
    if output is not None:
        write_manifest(manifest, output, overwrite)
        typer.echo(f"wrote {output}; next: medseg data check {output} --data {made.root}")
    if made.failures:
        raise typer.Exit(SOME_FAILED)


def _describe(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """What a folder was taken for, line by line."""
    labelled = sum(c.label is not None for c in manifest.items)
    patients = len({c.patient for c in manifest.items})
    yield f"layout     {layout.name}: {layout.rule}"
    yield f"cases      {len(manifest.items)}, {labelled} with a label map, {patients} patients"
    for split in ("training", "validation", "test"):
        if cases := manifest.cases(split):
            files = f"{', '.join(cases[0].image)} + {cases[0].label or 'no label map'}"
            yield f"  {split:10} {len(cases)}, first {cases[0].case}: {files}"
    yield f"channels   {', '.join(manifest.channels) or 'unknown'}"
    labels = ", ".join(f"{name} {value}" for name, value in manifest.labels.items())
    yield f"labels     {labels or 'none seen'}"
    if manifest.regions:
        yield f"regions    {', '.join(f'{name} {list(value)}' for name, value in manifest.regions.items())}"
    if manifest.relabel:
        changes = ", ".join(f"{a} to {b}" for a, b in manifest.relabel.items())
        yield f"relabel    {changes} (suggested; applied in training, checking and scoring)"
    for note in layout.notes:
        yield f"note       {note}"


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest.")],
    data: Annotated[Path, typer.Option("--data", help="The folder that its paths are relative to.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    fix_report: Annotated[bool, typer.Option("--fix-report", help="Print a list of what to mend.")] = False,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.")] = 0,
) -> None:
    """Check every file and every case among its kind; exit code 1 when something blocks."""
    import json

    from medseg.data.checking import check as check_data
    from medseg.data.checking import format_fixes, format_report
    from medseg.data.manifest import read_manifest

    known = read_manifest(manifest)
    with progress_bar("checked") as progress:
        report = check_data(known, data, workers=workers, progress=progress)
    if as_json:
        fixes = {"fixes": report.fixes()} if fix_report else {}
        typer.echo(json.dumps(report.as_dict() | fixes, indent=1, ensure_ascii=False))
    else:
        typer.echo("\n".join(format_fixes(report) if fix_report else format_report(report)))
    raise typer.Exit(1 if report.blocks else 0)


@app.command()
def split(
    manifest: Annotated[Path, typer.Argument(help="The manifest; the splits are written into it.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Its folder, to stratify by structures.")
    ] = None,
    validation: Annotated[float | None, typer.Option(help="Share; 0.2, or 0 with --folds.")] = None,
    test: Annotated[float, typer.Option(help="Share; 0 keeps the test split as it is.")] = 0.0,
    folds: Annotated[int, typer.Option(help="Also deal this many folds.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed deals the same.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write here instead.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")] = False,
) -> None:
    """Deal splits and folds: patients stay whole, structures are spread evenly, a seed decides."""
    from medseg.data.manifest import SPLITS, read_manifest, write_manifest
    from medseg.data.splits import split as deal
    from medseg.data.splits import strata_of

    known = read_manifest(manifest)
    volumes = {}
    if data is not None:
        from medseg.data.checking import profiles_of

        with progress_bar("measured") as progress:
            for p in profiles_of(known, data, progress=progress, hashes=False):
                volumes[p.case] = {s.number: s.volume_mm3 for s in p.structures}
    share = validation if validation is not None else 0.0 if folds else 0.2
    dealt = deal(
        known,
        validation=share,
        test=test,
        n_folds=folds,
        seed=seed,
        strata=strata_of(volumes),
        keep_test=test == 0,
    )
    where = write_manifest(dealt, output or manifest, overwrite=overwrite or output is None)
    for name in SPLITS:
        cases = dealt.cases(name)
        typer.echo(f"{name:10} {len(cases)} cases of {len({c.patient for c in cases})} patients")
    if folds:
        sizes = [sum(c.fold == n for c in dealt.items) for n in range(folds)]
        typer.echo(f"folds      {', '.join(map(str, sizes))} cases held out")
    how = "stratified by structures" if volumes else "not stratified: no --data"
    typer.echo(f"wrote {where}, seed {seed}, {how}")


@app.command()
def fingerprint(
    manifest: Annotated[Path, typer.Argument(help="The manifest.")],
    data: Annotated[Path, typer.Option("--data", help="The folder that its paths are relative to.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for fingerprint.json and .html.")],
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older fingerprint.")] = False,
) -> None:
    """Describe a data set for planning: shapes, spacings, intensities, structures, cost; JSON and a page."""
    from medseg.data.manifest import read_manifest
    from medseg.planning.fingerprint import fingerprint as take
    from medseg.planning.page import write_fingerprint

    known = read_manifest(manifest)
    with progress_bar("measured") as progress:
        found = take(known, data, workers=workers, progress=progress)
    for path in write_fingerprint(found, output, overwrite):
        typer.echo(f"wrote {path}")


def _named_manifest(name: str) -> Manifest:
    """The manifest of this path, or of this name in data_manifests/ here or beside the package."""
    from medseg.data.manifest import read_manifest

    if name.endswith(".json") or "/" in name:
        return read_manifest(name)
    package = Path(__file__).parents[1]
    folders = [Path("data_manifests"), package.parent / "data_manifests", package / "data_manifests"]
    for folder in folders:
        if (folder / f"{name}.json").is_file():
            return read_manifest(folder / f"{name}.json")
    known = sorted({p.stem for f in folders for p in f.glob("*.json")} - {"schema"})
    raise ManifestError(
        f"no data set {name!r}", f"one of {', '.join(known)}", "correct the name, or give a manifest's path"
    )
