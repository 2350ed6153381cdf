"""A progress bar on a terminal, and nothing at all in a pipe or log file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def progress_bar(description: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Yields ``update(done, note)``: how many of ``total`` are done, and a short remark such as the current loss."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    # Printed results may pass above the bar on a terminal, but a pipe must get them as they are.
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")

        def update(done: int, note: str = "") -> None:
            progress.update(task, completed=done, note=note)

        yield update


def _silent(done: int, note: str = "") -> None:
    pass


def track(items: Iterable[T], description: str, total: int, done: int = 0) -> Iterator[T]:
    """Yields the items while a bar shows how far they have come; ``done`` of ``total`` were done before."""
    with progress_bar(description, total, done) as update:
        for number, item in enumerate(items, done + 1):
            yield item
            update(number)
