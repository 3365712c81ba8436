"""``worklore memory stats``: what memory told, at what cost, and how much of it was of use, as tables for people."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from worklore_cli import nouns_hub, nouns_shown
from worklore_cli.catalog import Action, noun


def add(app: typer.Typer, action: Action) -> None:
    """The command of the verb `stats` of memory."""

    def run(
        *,
        weeks: Annotated[int, typer.Option(min=1, max=520, help="So many weeks back.")] = 12,
        project: Annotated[str | None, typer.Option(metavar="ID", help="What one project was told alone.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    ) -> None:
        hub = nouns_hub.connected()
        asked: dict[str, Any] = {"weeks": weeks}
        if project is not None:
            asked["project_id"] = hub.find(noun("project"), project)
        found = hub.send("POST", action.path, body=asked).body
        if as_json:
            nouns_shown.print_json(found)
            return
        held = ", ".join(f"{count} {name}" for name, count in found["held"].items())
        nouns_shown.say(f"Held: {held}")
        index = found["index"]
        nouns_shown.say(f"In memory: {index['passages']} passages, {index['known_failures']} known failures")
        told = [*found["told_by_event"], *found["told_by_week"], found["told"]]
        nouns_shown.console().print(_told(told))
        nouns_shown.console().print(_warned([*found["warnings_by_week"], found["warnings"]]))
        for name, value in found["redactions"].items():
            nouns_shown.say(f"{name}: {value:g}")

    app.command(action.name, help=f"{escape(action.description)} Risk: {action.risk}.")(run)


def _told(rows: list[dict[str, Any]]) -> Table:
    figures = ("items", "answers", "tokens", "judged", "used", "useless")
    table = _table("told", *figures, "precision")
    for row in rows:
        table.add_row(
            Text(nouns_shown.plain(row["event"] or row["week"] or "in all")),
            *(str(row[name]) for name in figures),
            _percent(row["precision"]),
        )
    return table


def _warned(rows: list[dict[str, Any]]) -> Table:
    figures = ("given", "heeded", "ignored", "wrong")
    table = _table("warnings", *figures, "precision")
    for row in rows:
        table.add_row(row["week"] or "in all", *(str(row[name]) for name in figures), _percent(row["precision"]))
    return table


def _table(first: str, *names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
