"""``worklore export``: everything a person can see, as JSON lines, or as pages that people read."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from worklore_cli import exporting_markdown, exporting_rows, nouns_hub, nouns_shown
from worklore_cli.catalog import noun
from worklore_cli.exporting_rows import Form, Written


def export(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new or an empty folder.")],
    form: Annotated[Form, typer.Option("--format", help="Lines for programs, or pages for people.")] = Form.jsonl,
    client: Annotated[str | None, typer.Option(help="Id or name of a client: only what is its own.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where something is, over a former export.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Write everything you can see into files: JSON lines for each noun, or a page for each project.

    Example: worklore export --out acme --format markdown --client "Acme Dental"
    """
    hub = nouns_hub.connected()
    own = hub.get(f"clients/{hub.find(noun('client'), client)}") if client else None
    folder = exporting_rows.prepared(out, force=force)
    written = Written(hub.url, form, own)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as progress:
        read = exporting_markdown.READ if form is Form.markdown else len(exporting_rows.in_order())
        task, names = progress.add_task("", total=read), dict[str, None]()

        def show(name: str, rows: int) -> None:
            names[name] = None
            progress.update(task, description=f"{name}, {rows:,} rows", completed=len(names) - 1)

        write = exporting_markdown.markdown if form is Form.markdown else exporting_rows.json_lines
        with exporting_rows.reading(hub, own) as rows:
            write(rows, folder, written, show)
    exporting_rows.finished(folder, written)
    told = written.as_dict()
    if as_json:
        nouns_shown.print_json(told)
        return
    nouns_shown.say(f"{told['rows']:,} rows in {len(written.files)} files in {folder}")
    for name, why in written.forbidden.items():
        nouns_shown.warn(f"{name}: left out, {why}")
