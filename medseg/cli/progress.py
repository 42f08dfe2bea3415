"""How far a command is: a bar on a terminal, a line per tenth where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, megabytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws on stderr, for as long as the block runs."""
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
