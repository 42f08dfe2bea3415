"""`medseg networks [NAME]`: the networks, and what each costs at a given input."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def networks(
    name: Annotated[
        str | None, typer.Argument(help="One network, with each encoder; all where left out.")
    ] = None,
    size: Annotated[
        str, typer.Option(help="Input size in voxels: one number per axis, so 2D or 3D.")
    ] = "256x256",
    channels: Annotated[int, typer.Option(help="Input channels.")] = 1,
    classes: Annotated[int, typer.Option(help="Output channels: labels with background, or regions.")] = 2,
    encoder: Annotated[str | None, typer.Option(help="Encoder for networks that take one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """List networks with parameters, multiply-adds and memory for one input of a given size.

    Nothing is computed but shapes. Memory in inference: weights and the most that is alive at once;
    training adds gradients, Adam's moments and what the backward pass needs.
    """
    shape = (1, channels, *_size(size))
    rows = [_row(n, e, shape, classes) for n, e in _wanted(name, encoder)]
    if as_json:
        typer.echo(json.dumps({"input": list(shape), "classes": classes, "networks": rows}, indent=2))
        return
    typer.echo(
        f"input {'x'.join(map(str, shape[2:]))}, {channels} channel(s) in, {classes} out, batch of one"
    )
    typer.echo(
        f"{'network':<20}{'encoder':<20}{'parameters':>12}{'mult-adds':>12}{'inference':>12}{'training':>12}"
    )
    for row in rows:
        typer.echo(f"{row['network']:<20}{row['encoder'] or '-':<20}" + _figures(row))


def _size(text: str) -> tuple[int, ...]:
    from medseg.errors import MedsegError

    parts = text.lower().replace(",", "x").split("x")
    if len(parts) not in (2, 3) or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise MedsegError(
            f"size {text!r}", "two or three numbers such as 256x256 or 96x96x96", "correct --size"
        )
    return tuple(int(p) for p in parts)


def _wanted(name: str | None, encoder: str | None) -> list[tuple[str, str | None]]:
    from medseg.errors import MedsegError
    from medseg.networks import ENCODERS, NAMES, OWN_NAMES
    from medseg.networks.own import DEFAULT_ENCODER, PLANS

    if encoder is not None and encoder not in ENCODERS:
        raise MedsegError(
            f"encoder {encoder!r}", f"one of {', '.join(ENCODERS)}", "choose one of these names"
        )
    if name is None:
        usual = {n: None if PLANS[n].original else DEFAULT_ENCODER for n in OWN_NAMES}
        return [(n, (encoder or usual[n]) if n in OWN_NAMES else None) for n in NAMES]
    if name not in NAMES:
        raise MedsegError(f"network {name!r}", f"one of {', '.join(NAMES)}", "choose one of these names")
    if name not in OWN_NAMES:
        return [(name, None)]
    if encoder is not None:
        return [(name, encoder)]
    return [*([(name, None)] if PLANS[name].original else []), *((name, e) for e in ENCODERS)]


def _row(name: str, encoder: str | None, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    from medseg.networks.cost import cost, on_meta

    row: dict[str, Any] = {"network": name, "encoder": encoder}
    # MONAI's UNETR alone is built for one size.
    options = {"img_size": shape[2:]} if name == "UNETR" else {}
    try:
        network = on_meta(name, len(shape) - 2, shape[1], classes, encoder=encoder, **options)
        return row | cost(network, shape)._asdict()
    except (RuntimeError, ValueError) as error:
        # MONAI's networks have sizes that they refuse; the others' rows are wanted all the same.
        return row | {"refused": str(error).splitlines()[0]}


def _figures(row: dict[str, Any]) -> str:
    if "refused" in row:
        return f"  does not take this size: {row['refused']}"
    return (
        f"{row['parameters'] / 1e6:>10.2f} M{row['multiply_adds'] / 1e9:>10.2f} G"
        f"{row['inference_bytes'] / 2**20:>9.0f} MiB{row['training_bytes'] / 2**20:>8.0f} MiB"
    )
