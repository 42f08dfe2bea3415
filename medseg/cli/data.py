"""`medseg data`: from a folder, or an address, to a checked manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.errors import ManifestError

if TYPE_CHECKING:
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
    from medseg.data.fetch import fetch

    manifest = _named_manifest(name)
    typer.echo(f"{manifest.name}: {manifest.licence or 'no licence stated'}; {manifest.citation}")
    with _bar("downloading", megabytes=True) as progress:
        count = fetch(manifest, to, progress=progress, overwrite=overwrite)
    total = sum(1 for c in manifest.items for _ in c.files())
    typer.echo(f"{to}: {total} files right, {count} of them new")


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


@contextmanager
def _bar(title: str, megabytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on a terminal, and a line per tenth where there is none."""
    scale, unit = (1 << 20, " MiB") if megabytes else (1, "")
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        text = TextColumn("{task.description} {task.completed:.0f} of {task.total:.0f}" + unit)
        with Progress(text, BarColumn(), TimeRemainingColumn(), console=console) as progress:
            task = progress.add_task(title, total=1)
            yield lambda done, total: progress.update(
                task, completed=done / scale, total=max(total, done) / scale
            )
        return
    tenths = -1

    def plain(done: int, total: int) -> None:
        nonlocal tenths
        now = 10 * done // total if total > 0 else done // (100 << 20)
        if now > tenths:
            tenths = now
            sys.stderr.write(f"{title} {done // scale} of {max(total, 0) // scale or '?'}{unit}\n")

    yield plain
