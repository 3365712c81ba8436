"""The present state of a project in a few lines: phase, progress, what blocks it, what comes next, what was decided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from worklore.memory.compress.fit import Entry, Fitted, fit

MOST: Final = 6
"""Items of a kind."""

WEIGHTS: Final = {"Blocked by": 5.0, "Next": 4.0, "State": 6.0, "Decided": 3.0, "Open": 2.0, "Files": 1.0}
"""What goes last where not all fits."""


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a project's state; lists are the newest or weightiest first."""

    phase: str = ""
    progress: int = 0
    summary: str = ""
    blockers: Sequence[Any] = field(default=())
    next_actions: Sequence[Any] = field(default=())
    decisions: Sequence[str] = field(default=())
    open_tasks: Sequence[str] = field(default=())
    files: Sequence[Any] = field(default=())


def project_state(state: State, budget: int) -> Fitted:
    """A project's state within a budget of tokens."""
    standing = [part for part in (state.phase, f"{state.progress} %" if state.progress else "", state.summary) if part]
    items = {
        "State": [". ".join(part.rstrip(".") for part in standing)] if standing else [],
        "Blocked by": _lines(state.blockers),
        "Next": _lines(state.next_actions),
        "Decided": list(state.decisions)[:MOST],
        "Open": list(state.open_tasks)[:MOST],
        "Files": [", ".join(_lines(state.files))] if state.files else [],
    }
    entries = [
        Entry(heading, text, WEIGHTS[heading] - place / 100)
        for heading, texts in items.items()
        for place, text in enumerate(texts)
    ]
    return fit(entries, budget)


def _lines(values: Iterable[object]) -> list[str]:
    """Items of a JSON list as texts: a text itself, of an object its values."""
    found: list[str] = []
    for value in values:
        if isinstance(value, dict):
            held = cast("dict[str, object]", value)
            text = "; ".join(str(inner) for inner in held.values() if inner not in (None, ""))
        else:
            text = str(value)
        if text.strip():
            found.append(" ".join(text.split()))
    return found[:MOST]
