"""CSV as it comes out of spreadsheets: read in two passes, so that a broken file changes nothing."""

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from worklore_cli.catalog import Noun
from worklore_cli.failure import Failure

LONGEST_CELL = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the line it begins on, its cells by column; `problem` says why there are none."""

    line: int
    cells: dict[str, str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file whose every line can be read: `columns` are fields of the noun, `total` counts the rows."""

    file: BinaryIO
    name: str
    columns: list[str]
    total: int

    def rows(self) -> Iterator[Row]:
        """The rows from the first on; blank lines are passed over."""
        for line, cells in _records(self.file, self.name):
            if line == 1 or not cells:
                continue
            if len(cells) == len(self.columns):
                yield Row(line, dict(zip(self.columns, cells, strict=True)))
            else:
                yield Row(line, {}, f"it has {len(cells)} cells, the header has {len(self.columns)}")


@contextmanager
def opened(source: str, noun: Noun) -> Generator[Sheet]:
    """The sheet in a file, or in standard input for ``-``.

    Raises Failure, before anything was sent, when it is no CSV in UTF-8 or its header names what is no field.
    """
    if source != "-":
        with Path(source).open("rb") as file:
            yield _checked(file, source, noun)
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        yield _checked(file, "standard input", noun)


def _checked(file: BinaryIO, name: str, noun: Noun) -> Sheet:
    columns: list[str] | None = None
    total = 0
    for _, cells in _records(file, name):
        if columns is None:
            columns = _header(cells, name, noun)
        elif cells:
            total += 1
    if columns is None:
        raise Failure(f"{name} is empty", f"Its first line names the columns: {', '.join(noun.fields)}")
    return Sheet(file, name, columns, total)


def _header(cells: list[str], name: str, noun: Noun) -> list[str]:
    columns = [cell.strip() for cell in cells]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise Failure(f"{name} has the column {twice[0]!r} twice", "Leave one of them out")
    unknown = [column for column in columns if column not in noun.fields]
    if unknown:
        divided = next((mark for mark in (";", "\t", "|") if len(columns) == 1 and mark in columns[0]), "")
        hint = f"Columns are: {', '.join(noun.fields)}"
        raise Failure(
            f"{name} has the column {unknown[0]!r}, which is no field of a {noun.name}",
            "Save it with commas between the cells" if divided else hint,
        )
    return columns


def _records(file: BinaryIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """The line each record begins on, counted from 1, and its cells."""
    csv.field_size_limit(LONGEST_CELL)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Failure(f"line {line} of {name} is no CSV: {error}", "Nothing was changed. Mend its quotes") from None
    except UnicodeDecodeError:
        raise Failure(f"{name} is not in UTF-8, after line {line}", "Nothing was changed. Save it as UTF-8") from None
    finally:
        text.detach()
