"""`medseg show-config`: what a verb of a bundle would run with."""

from __future__ import annotations

from typing import Annotated

import typer

from medseg.cli.options import BundleFolder
from medseg.cli.overrides import parse_overrides


def show_config(
    context: typer.Context,
    bundle: BundleFolder,
    verb: Annotated[str, typer.Argument(help="train, evaluate or predict.")],
) -> None:
    """Print the merged config of a verb, with any overrides (--ID VALUE) in place."""
    import yaml

    from medseg.bundle.run import check_overrides_of
    from medseg.bundle.verbs import config_files, read_config, with_overrides

    overrides = parse_overrides(context.args)
    config = read_config(config_files(bundle, verb))
    check_overrides_of(bundle, verb, overrides)
    typer.echo(yaml.safe_dump(with_overrides(config, overrides), sort_keys=False, width=100), nl=False)
