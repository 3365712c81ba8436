"""Records and fields as people read them: tables that fit a terminal, without what could steer it."""

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from worklore_cli.catalog import Field, Noun

SHORTEST_ID = 13
"""Characters of an id that are always shown: those of its millisecond."""
_STEERING = frozenset(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def console() -> Console:
    """Standard output for tables: as wide as the terminal, or 80 columns."""
    return Console(highlight=False, markup=False)


def plain(text: str, *, keep: str = "") -> str:
    """`text` with a mark in place of each control character but those to `keep`, and of what turns writing round."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if (char in _STEERING or unicodedata.category(char) == "Cc") and char not in keep
        else char
        for char in text
    )


def print_json(value: Any) -> None:
    """JSON on standard output and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def say(text: str) -> None:
    """One line as it is."""
    sys.stdout.write(plain(text) + "\n")


def warn(text: str) -> None:
    """One line on standard error, where it does not disturb what is read by a program."""
    sys.stderr.write(plain(text) + "\n")


def shortened(ids: Iterable[str]) -> int:
    """Characters that tell these ids from each other."""
    ordered = sorted(set(ids))
    wanted = SHORTEST_ID
    for first, second in pairwise(ordered):
        common = next(
            (place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), len(first)
        )
        wanted = max(wanted, common + 1)
    return wanted


def _brief(field: Field, value: Any, width: int) -> str:
    """A value in one line of a table."""
    if value is None:
        return ""
    if field.type == "id":
        return str(value)[:width]
    if field.type == "time":
        return f"{value[:10]} {value[11:16]}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain(text.replace("\r\n", "\n").replace("\n", " ⏎ "))


def records_table(noun: Noun, names: Sequence[str], items: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of a list, one line each; times are UTC, to the minute."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns: list[list[str]] = []
    for name in names:
        field = noun.fields[name]
        width = shortened(str(item[name]) for item in items if item[name]) if field.type == "id" else 0
        columns.append([_brief(field, item[name], width) for item in items])
        fixed = width if name == "id" else None
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=fixed)
    for row in zip(*columns, strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def record_table(item: Mapping[str, Any]) -> Table:
    """One record, a line for each field, its values in full."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in item.items():
        if value is None:
            text = "-"
        elif isinstance(value, str):
            text = plain(value.replace("\r\n", "\n"), keep="\n\t")
        else:
            text = json.dumps(value, ensure_ascii=False, indent=None if isinstance(value, bool | int | float) else 1)
        table.add_row(Text(name), Text(text))
    return table


# --- what help shows ------------------------------------------------------------------------------------------------


def _takes(field: Field) -> str:
    if field.choices:
        return " | ".join(field.choices)
    kind = f"id of a {field.reference}" if field.reference else field.type
    bounds = [f"up to {field.max_length} characters"] if field.max_length else []
    low, high = field.minimum, field.maximum
    if low is not None and abs(low) < 2**31:
        bounds.append(f"from {low:g}")
    if high is not None and abs(high) < 2**31 - 1:
        bounds.append(f"to {high:g}")
    return ", ".join([kind, *bounds])


def fields_table(fields: Iterable[Field], *, creating: bool) -> RenderableType:
    """The fields a command takes, with types and choices; ``*`` marks those a new record needs."""
    table = Table(
        title="Fields", title_justify="left", box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 1)
    )
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for field in fields:
        notes = [_takes(field)]
        if field.null:
            notes.append("may be empty")
        if creating and field.default is not None:
            notes.append(f"else {json.dumps(field.default, ensure_ascii=False)}")
        text = "; ".join(notes) + (f". {field.description}" if field.description else "")
        table.add_row(Text(field.name + ("*" if creating and field.required else "")), Text(text))
    explained = "* is needed. " if creating else ""
    note = Text(f" {explained}Lists and objects are JSON; FIELD= empties a field. A reference may be given by name.\n")
    return Group(table, note)


def questions_table(noun: Noun) -> RenderableType:
    """What lists of a noun may be filtered and sorted by."""
    table = Table(
        title="Filters", title_justify="left", box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 1)
    )
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, suffixes in noun.filters.items():
        ends = " ".join(f"__{suffix}" for suffix in suffixes if suffix)
        table.add_row(Text(name), Text(f"{_takes(noun.fields[name])}  {ends}"))
    lines = [f" Fields: {', '.join(noun.fields)}", f" Sort: {', '.join(noun.sort)}"]
    if noun.search:
        lines.append(f" Search looks into: {', '.join(noun.search)}")
    return Group(table, *(Text(line) for line in lines), Text(""))
