#!/usr/bin/env python
"""Writes docs/reference from the code: resources, actions, scopes, settings, commands and the OpenAPI document.

Usage: scripts/reference.py [--check], with the Python of the environment; `make reference` and `make check` call it.
With --check nothing is written, and the exit code is 1 when a page differs from the code.
"""

import difflib
import io
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from worklore.app import openapi_document
from worklore.identity.roles import SCOPES
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.settings import PREFIX, Settings
from worklore.main import COMMANDS
from worklore.main import main as hub_command
from worklore.resources import CATALOG
from worklore.surfaces.catalog import catalog_text, describe_catalog
from worklore_cli import hub_process
from worklore_cli.main import app

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("docs/reference")
NOTE = "<!-- Written by `make reference` from the code; change the code instead. -->"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table of Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]


def _cell(value: object) -> str:
    return str(value).replace("|", r"\|")


def page(title: str, about: str, *parts: Iterable[str]) -> str:
    """A page of the reference."""
    lines = [f"# {title}", "", NOTE, "", about]
    for part in parts:
        lines += ["", *part]
    return "\n".join(lines) + "\n"


def resources(catalog: Catalog) -> str:
    """Every noun: routes, fields, filters, look-ups."""
    told = {noun["name"]: noun for noun in describe_catalog(catalog)["nouns"]}
    by_area: dict[str, list[Resource]] = defaultdict(list)
    for resource in catalog.resources:
        by_area[resource.model.__module__.split(".")[1]].append(resource)
    parts: list[list[str]] = [[f"- [{resource.name}](#{resource.name})" for resource in catalog.resources]]
    for area, nouns in by_area.items():
        parts.append([f"## In {area}"])
        parts += [_noun(resource, told[resource.name]) for resource in nouns]
    about = (
        "Every noun of the hub. Lists, filters, versions and errors work the same for all: [the REST interface]"
        "(../rest.md). A field marked *set once* is set on creation alone, *by the hub* is never sent."
    )
    return page("Resources", about, *parts)


def _noun(resource: Resource, told: dict) -> list[str]:
    fields = [
        (
            f"`{field['name']}`",
            _kind(field),
            _manner(field),
            field.get("description", ""),
        )
        for field in told["fields"]
    ]
    lines = [f"### {resource.name}", "", " ".join(resource.description.split()), ""]
    lines += [f"`/api/v1/{resource.plural}`: {', '.join(told['verbs'])}. Table `{resource.table.description}`.", ""]
    lines += table(("field", "type", "", "meaning"), fields)
    lines += ["", f"Filters: {', '.join(f'`{name}`' for name in told['filters'])}."]
    if told.get("search"):
        lines += [f"`q` looks into {', '.join(f'`{name}`' for name in told['search'])}."]
    if resource.by:
        paths = [f"`/{resource.plural}/by-{name}/{{value}}`" for name, _ in resource.by]
        lines += [f"Look-ups: {', '.join(paths)}."]
    return lines


def _kind(field: dict) -> str:
    if "reference" in field:
        return f"id of a [{field['reference']}](#{field['reference']})"
    if "choices" in field:
        return ", ".join(f"`{choice}`" for choice in field["choices"])
    length = f", {field['max_length']} characters at most" if "max_length" in field else ""
    return f"{field['type']}{length}"


def _manner(field: dict) -> str:
    if field.get("required"):
        return "required" if field.get("change") else "required, set once"
    if field.get("create"):
        return "" if field.get("change") else "set once"
    return "" if field.get("change") else "by the hub"


def actions(catalog: Catalog) -> str:
    """Every verb that is not one of the six of every noun."""
    rows = []
    for action in sorted(catalog.actions, key=lambda action: (action.on or "", action.path or action.name)):
        on = catalog.by_name[action.on] if action.on else None
        path = f"POST /{action.path or action.name}"
        if on is not None:
            path = f"GET /{on.plural}/{action.name}" if action.finds else f"POST /{on.plural}/{{id}}/{action.name}"
        rows.append((f"`{path}`", f"`{action.scope}`", action.risk.value, " ".join(action.description.split())))
    about = "Verbs of single nouns, below `/api/v1`. The OpenAPI document holds their bodies and answers."
    return page("Actions", about, table(("operation", "scope", "risk", "does"), rows))


def scopes(catalog: Catalog) -> str:
    """Every scope, what it opens, and what the roles have."""
    opened: dict[str, list[str]] = defaultdict(list)
    for resource in catalog.resources:
        for verb in sorted(resource.verbs):
            opened[resource.scope(verb)].append(f"{verb} {resource.plural}")
    for action in catalog.actions:
        opened[action.scope].append(f"{action.name} {action.on or ''}".rstrip())
    rows = [(f"`{scope}`", ", ".join(uses)) for scope, uses in sorted(opened.items())]
    roles = [(role.value, ", ".join(f"`{scope}`" for scope in sorted(SCOPES[role]))) for role in SCOPES]
    about = (
        "A scope is `noun:verb`; `noun:*`, `*:verb` and `*` stand for all of a kind. A token has the scopes of its "
        "person's role, or fewer."
    )
    return page(
        "Scopes",
        about,
        ["## Roles", "", *table(("role", "scopes"), roles)],
        ["## Scopes"],
        table(("scope", "opens"), rows),
    )


def settings() -> str:
    """Every setting, its default and meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        known = field.get_default() if name != "data" else "~/.local/share/worklore"
        rows.append((f"`{PREFIX}{name.upper()}`", f"`{known}`" if known not in {None, ""} else "", field.description))
    about = (
        "Set in the environment or as lines of the file of settings; `worklore config show` tells the values in force "
        "and where each comes from. [Installing](../operations/install.md)"
    )
    return page("Settings", about, table(("setting", "default", "meaning"), rows))


def commands() -> str:
    """What each command explains of itself."""
    hub_process.run_hub = hub_command  # in this process, which would else become that program
    os.environ |= {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    listed = _help().split("Nouns")[0]
    people = re.findall(r"^[^a-z-]*([a-z][a-z-]+) {2,}", listed, re.MULTILINE)
    parts: list[list[str]] = []
    for name in dict.fromkeys([*people, *COMMANDS]):
        own = name not in people
        explained = _help(name, hub=own)
        parts.append([f"## worklore {name}", "", "```", *explained.rstrip().splitlines(), "```"])
        tasks = _tasks(explained)
        parts += [
            [f"### worklore {name} {task}", "", "```", *_help(name, task, hub=own).splitlines(), "```"]
            for task in tasks
        ]
    about = "What `--help` of each command says. Every noun has commands too: [the command line](../cli.md)."
    return page("Commands", about, *parts)


def _tasks(explained: str) -> list[str]:
    """The tasks of a command: one of the hub's own, or a group of those for people."""
    _, _, panel = explained.partition("─ Commands ─")
    if panel:
        return re.findall(r"^│ ([a-z][a-z0-9-]*)", panel, re.MULTILINE)
    _, _, positional = explained.partition("positional arguments:\n")
    return re.findall(r"^    ([a-z][a-z-]*)", positional.partition("\n\n")[0], re.MULTILINE)


def _help(*command: str, hub: bool = False) -> str:
    """What a command explains of itself, asked of the program for people or of the hub's own."""
    with redirect_stdout(io.StringIO()) as said:
        try:
            if hub:
                hub_command([*command, "--help"])
            else:
                app([*command, "--help"], prog_name="worklore")
        except SystemExit as end:
            if end.code:
                raise
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines())


def pages() -> dict[Path, str]:
    """Every file that is made from the code."""
    return {
        FOLDER / "openapi.json": json.dumps(openapi_document(), indent=1, sort_keys=True) + "\n",
        Path("src/worklore_cli/catalog.json"): catalog_text(CATALOG),
        FOLDER / "resources.md": resources(CATALOG),
        FOLDER / "actions.md": actions(CATALOG),
        FOLDER / "scopes.md": scopes(CATALOG),
        FOLDER / "settings.md": settings(),
        FOLDER / "commands.md": commands(),
    }


def main() -> int:
    """Write the pages, or compare them."""
    stale = 0
    for path, text in pages().items():
        former = (ROOT / path).read_text() if (ROOT / path).exists() else ""
        if former == text:
            continue
        if "--check" not in sys.argv[1:]:
            (ROOT / path).write_text(text)
            continue
        stale = 1
        difference = difflib.unified_diff(
            former.splitlines(), text.splitlines(), str(path), "from the code", lineterm=""
        )
        print("\n".join([*difference][:40]))  # noqa: T201 - a command's answer
        print(f"{path} differs from the code. If the change is meant: make reference, and commit it")  # noqa: T201 - a command's answer
    return stale


if __name__ == "__main__":
    sys.exit(main())
