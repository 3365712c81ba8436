"""``worklore credential report``: which secrets want looking after, as a table that a person can work down."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from worklore_cli import nouns_hub, nouns_shown
from worklore_cli.catalog import Action, noun


def add(app: typer.Typer, action: Action) -> None:
    """The command of the verb `report` of credentials."""

    def run(
        *,
        within: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Those that expire in so many days.")] = 30,
        unrotated: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Those not rotated for so long.")] = 180,
        client: Annotated[str | None, typer.Option(metavar="ID", help="Those of one client alone.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    ) -> None:
        hub = nouns_hub.connected()
        asked: dict[str, Any] = {"expires_within_days": within, "unrotated_days": unrotated}
        if client is not None:
            asked["client_id"] = hub.find(noun("client"), client)
        found = hub.send("POST", action.path, body=asked).body
        if as_json:
            nouns_shown.print_json(found)
            return
        if found["items"]:
            nouns_shown.console().print(_table(found["items"]))
        else:
            nouns_shown.say("Nothing wants looking after")
        if found["more"]:
            nouns_shown.warn("There are more than are shown: ask for fewer days, or for one client")

    app.command(action.name, help=f"{escape(action.description)} Risk: {action.risk}.")(run)


def _table(items: list[dict[str, Any]]) -> Table:
    width = nouns_shown.shortened(item["id"] for item in items)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True, min_width=width)
    table.add_column("name", no_wrap=True, overflow="ellipsis")
    table.add_column("concerns", overflow="fold", min_width=len("unrotated,"))
    for name in ("expires", "rotated"):
        table.add_column(name, no_wrap=True, min_width=len("2026-01-01"))
    table.add_column("test", overflow="fold")
    for item in items:
        cells = (
            item["id"][:width],
            nouns_shown.plain(item["name"]),
            ", ".join(item["concerns"]),
            (item["expires_at"] or "")[:10],
            (item["last_rotated_at"] or "")[:10],
            item["last_test_status"] or "",
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table
