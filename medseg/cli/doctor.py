"""`medseg doctor`: what a bug report needs to know of this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from medseg.cli.options import AsJson

if TYPE_CHECKING:
    from medseg.doctor import Report


def doctor(
    as_json: AsJson = False,
) -> None:
    """Tell versions, devices, memory, disk and readers, and what is known to be bad among them.

    Exit code 0 if nothing is known to be wrong, 2 with errors.
    """
    from medseg.doctor import examine

    report = examine()
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else _text(report))
    if not report.is_well:
        raise typer.Exit(2)


def _text(report: Report) -> str:
    lines = [f"medseg {report.medseg}, Python {report.python}, {report.platform}", ""]
    for kind, packages in report.packages.items():
        lines += [
            f"{kind}:",
            *(f"  {name:16} {there or 'not installed'}" for name, there in packages.items()),
        ]
    lines += ["devices:", *(f"  {_values(device)}" for device in report.devices)]
    lines += [f"cores: {report.cpus}", f"memory, GB: {_values(report.memory_gb)}"]
    lines += [f"free disk, GB: {_values(report.disk_gb)}"]
    lines += [f"variables: {_values(report.variables)}"] if report.variables else []
    told = [f"  {advice}" for advice in report.advice] or ["  nothing is known to be wrong"]
    return "\n".join([*lines, "", "advice:", *told])


def _values(found: dict[str, object] | dict[str, float] | dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in found.items()) or "unknown"
