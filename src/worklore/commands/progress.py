"""Telling how far a long command is: a bar on a terminal, some lines elsewhere, always on standard error."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES: Final = 10
"""Lines where no terminal shows a bar."""

Told = Callable[[int, int, str], None]
"""Told how many are done, of how many, and what is to be said beside that."""


@contextmanager
def shown(what: str, *, quiet: bool) -> Generator[Told]:
    """Show the progress of ``what``; nothing when quiet."""
    console = Console(stderr=True)
    lines = not quiet and not console.is_terminal
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=quiet or lines)
    with bar:
        task = bar.add_task(what, note="")
        said = 0

        def told(done: int, total: int, note: str) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, note=note)
            if lines and done * LINES // max(1, total) > said:
                said = done * LINES // max(1, total)
                print(f"{done} of {total} {what}{note and ', '}{note}", file=sys.stderr, flush=True)  # noqa: T201 - progress without a terminal

        yield told
