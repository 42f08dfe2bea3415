"""Arguments and options that several commands have, so that they are called and told alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SOME_FAILED = 3
"""The exit code where some cases failed and all others are done."""

BundleFolder = Annotated[Path, typer.Argument(help="Folder of a bundle.")]
ManifestData = Annotated[Path, typer.Option("--data", help="Folder that the manifest's paths start from.")]
OwnManifest = Annotated[Path | None, typer.Option(help="Your cases, instead of the bundle's own manifest.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run whatever the bundle holds.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
RayAddress = Annotated[
    str, typer.Option(help="Address of a Ray cluster (extra `ray`); local for one on this machine.")
]
