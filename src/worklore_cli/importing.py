"""``worklore NOUN import``: rows of CSV become new records, changes, or nothing where they say what is there.

The file is read in pieces. For each, the records its keys name are looked up and compared, so that only real
differences are sent: creations and changes apart, each a bulk request of its own that takes effect as a whole or not
at all, under a key that lets it be repeated safely.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import typer
from rich.console import Console
from rich.progress import Progress

from worklore_cli import nouns_shown
from worklore_cli.catalog import Noun
from worklore_cli.importing_csv import Row, Sheet, opened
from worklore_cli.importing_plan import Decision, Planner, keys_of
from worklore_cli.nouns_hub import Records
from worklore_client.wire import HubRefused

CHUNK = 200
CHUNK_BYTES = 4 * 1024 * 1024
"""Half of what a body may have."""
_FIRST = re.compile(r"(?:^Item )?\b0\.(?=\w+:)|^Item 0: ")
REFUSALS = frozenset({409, 412, 422})
"""Answers that are about the rows of a chunk and not about the import."""


@dataclass(frozen=True)
class Wish:
    """What was asked for. `keys` are the fields that identify a record; none lets the columns decide."""

    file: str
    keys: list[str]
    preview: bool = False
    yes: bool = False
    message: str | None = None


@dataclass
class Counts:
    """Rows by what became of them."""

    create: int = 0
    update: int = 0
    unchanged: int = 0
    error: int = 0

    def add(self, decision: Decision) -> None:
        """Count one row."""
        setattr(self, decision.kind, getattr(self, decision.kind) + 1)

    def line(self, *, dry_run: bool) -> str:
        """The sum, as it is printed last."""
        would = "would be " if dry_run else ""
        made = f"{self.create} {would}created, {self.update} {would}changed"
        return f"{made}, {self.unchanged} unchanged, {self.error} failed"


def run(hub: Records, noun: Noun, wish: Wish) -> None:
    """Import a file; exit code 1 when a row failed. Without ``yes`` a preview comes first, and a question."""
    with opened(wish.file, noun) as sheet:
        job = Import(hub, noun, sheet, keys_of(noun, sheet.columns, wish.keys), wish.message)
        if wish.preview or not wish.yes:
            counts = job.run(dry_run=True)
            if wish.preview:
                raise typer.Exit(1 if counts.error else 0)
            if counts.create + counts.update:
                typer.confirm("Apply this?", abort=True)
        counts = job.run(dry_run=False)
    if counts.error:
        raise typer.Exit(1)


@dataclass
class Import:
    """One file on its way into one noun."""

    hub: Records
    noun: Noun
    sheet: Sheet
    keys: list[str]
    message: str | None
    name: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent: int = 0

    def run(self, *, dry_run: bool) -> Counts:
        """Go through the file once and report; with `dry_run` the hub undoes what it did."""
        counts, planner = Counts(), Planner(self.hub, self.noun, self.sheet.columns, self.keys)
        err = Console(stderr=True)
        hidden = not err.is_terminal or self.sheet.total <= CHUNK
        with Progress(console=err, transient=True, disable=hidden) as progress:
            task = progress.add_task(
                f"{'Checking' if dry_run else 'Importing'} {self.sheet.name}", total=self.sheet.total
            )
            for rows in _pieces(self.sheet.rows()):
                for decision in self._settled(planner.decide(rows), dry_run=dry_run):
                    counts.add(decision)
                    _report(decision, preview=dry_run)
                progress.advance(task, len(rows))
        nouns_shown.say(counts.line(dry_run=dry_run))
        return counts

    def _settled(self, decisions: list[Decision], *, dry_run: bool) -> list[Decision]:
        """The decisions with what the hub said to them, in the order of the file."""
        settled = {decision.line: decision for decision in decisions}
        for kind, method in (("create", "POST"), ("update", "PATCH")):
            for chunk in _chunks(decision for decision in decisions if decision.kind == kind):
                settled |= {decision.line: decision for decision in self._send(method, chunk, dry_run=dry_run)}
        return [settled[decision.line] for decision in decisions]

    def _send(self, method: str, chunk: list[Decision], *, dry_run: bool) -> list[Decision]:
        self.sent += 1
        headers = {"Idempotency-Key": f"import-{self.name}-{self.sent}"}
        body = [decision.body for decision in chunk]
        try:
            self.hub.write(method, self.noun.plural, body, headers=headers, message=self.message, dry_run=dry_run)
        except HubRefused as refusal:
            if refusal.status not in REFUSALS:
                raise
            return self._blamed(method, chunk, refusal)
        return chunk

    def _blamed(self, method: str, chunk: list[Decision], refusal: HubRefused) -> list[Decision]:
        """Which rows of a refused chunk are at fault: each is tried alone, and undone. None of them was applied."""
        reasons: dict[int, str] = {}
        for decision in chunk:
            try:
                self.hub.write(method, self.noun.plural, [decision.body], dry_run=True)
            except HubRefused as alone:
                if alone.status not in REFUSALS:
                    raise
                reasons[decision.line] = _reason(alone)
        guilty = ", ".join(map(str, reasons)) or "none alone"
        held = f"held back with its chunk (line {guilty})" if reasons else f"refused with its chunk: {_reason(refusal)}"
        return [decision.failed(reasons.get(decision.line, held)) for decision in chunk]


def _reason(refusal: HubRefused) -> str:
    """What the hub said to a row that was sent alone, without its place in the list."""
    return _FIRST.sub("", str(refusal.problem.get("detail") or refusal))


def _pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while piece := list(islice(rows, CHUNK)):
        yield piece


def _chunks(decisions: Iterable[Decision]) -> Iterator[list[Decision]]:
    """Decisions in groups whose bodies fit into one request."""
    chunk: list[Decision] = []
    size = 0
    for decision in decisions:
        length = len(json.dumps(decision.body, ensure_ascii=False).encode())
        if chunk and size + length > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(decision)
        size += length
    if chunk:
        yield chunk


def _report(decision: Decision, *, preview: bool) -> None:
    line = f"line {decision.line}: {decision.kind}" + (f"  {decision.note}" if decision.note else "")
    if preview:
        nouns_shown.say(line)
    elif decision.kind == "error":
        nouns_shown.warn(line)
