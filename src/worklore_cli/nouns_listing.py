"""Lists of a noun: asked for page by page, printed as a table, JSON or CSV without holding more than they must."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import typer

from worklore_cli import nouns_hub, nouns_offline, nouns_shown
from worklore_cli.catalog import Noun
from worklore_cli.catalog_values import write
from worklore_cli.nouns_hub import Records
from worklore_client.wire import HubUnreachable

DEFAULT_LIMIT = 50
Pages = Iterable[tuple[list[dict[str, Any]], bool]]


@dataclass(frozen=True)
class Listing:
    """A question as it was typed. `parameters` checks it against the catalogue: what is wrong is an error of usage."""

    noun: Noun
    filters: list[str]
    search: str | None = None
    sort: str | None = None
    fields: str | None = None

    def parameters(self, hub: Records) -> dict[str, str]:
        """The question as the hub takes it; what references name is resolved to ids."""
        noun = self.noun
        asked: dict[str, str] = {}
        for text in self.filters:
            name, equals, value = text.partition("=")
            field, _, suffix = name.partition("__")
            if not equals or suffix not in noun.filters.get(field, ()):
                raise typer.BadParameter(f"there is no filter {name}; filters are {', '.join(noun.filters)}")
            if name in asked:
                raise typer.BadParameter(f"the filter {name} is given twice")
            asked[name] = str(hub.resolve(noun.fields[field], value)) if suffix in {"", "ne"} else value
        if self.search is not None:
            if not noun.search:
                raise typer.BadParameter(f"{noun.plural} cannot be searched; use --filter")
            asked["q"] = self.search
        if self.sort:
            unknown = [key for key in self.sort.split(",") if key.strip().removeprefix("-") not in noun.sort]
            if unknown:
                raise typer.BadParameter(f"{noun.plural} are not sorted by {unknown[0]}; {', '.join(noun.sort)} can be")
            asked["sort"] = self.sort
        return asked

    def names(self, form: str) -> list[str]:
        """The fields to show: those asked for, else the brief ones in a table and all elsewhere."""
        noun = self.noun
        if self.fields is None:
            brief = [name for name in noun.brief if name != "id"]
            return ["id", *brief] if form == "table" else list(noun.fields)
        names = [name.strip() for name in self.fields.split(",") if name.strip()]
        unknown = [name for name in names if name not in noun.fields]
        if unknown or not names:
            raise typer.BadParameter(f"there is no field {', '.join(unknown)}; the fields are {', '.join(noun.fields)}")
        return list(dict.fromkeys(names))


def run(asked: Listing, limit: int | None, form: str) -> None:
    """Print a list: `form` is table, json or csv."""
    names = asked.names(form)
    hub = nouns_hub.connected()
    try:
        parameters = {**asked.parameters(hub), "fields": ",".join(names)}
        coming = hub.pages(asked.noun, parameters, limit)
        first = next(coming)  # it says whether the hub is there
        pages: Pages = chain([first], coming)
    except HubUnreachable as error:
        rows = nouns_offline.rows(asked.noun, asked.filters, asked.search, error)
        pages = [([{name: row.get(name) for name in names} for row in rows[:limit]], False)]
    if form == "csv":
        more = _print_csv(asked.noun, names, pages)
    elif form == "json":
        more = _print_json(names, pages)
    else:
        more = _print_table(asked.noun, names, pages)
    if more:
        nouns_shown.warn("More rows follow: --all shows them")


def _chosen(names: list[str], item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in names}


def _print_table(noun: Noun, names: list[str], pages: Pages) -> bool:
    items: list[dict[str, Any]] = []
    more = False
    for found, more in pages:  # noqa: B007 - the last one counts
        items += found
    if items:
        nouns_shown.console().print(nouns_shown.records_table(noun, names, items))
    else:
        nouns_shown.warn(f"No {noun.plural}")
    return more


def _print_json(names: list[str], pages: Pages) -> bool:
    divider, more = "[", False
    for items, more in pages:  # noqa: B007 - the last one counts
        for item in items:
            sys.stdout.write(f"{divider}\n{json.dumps(_chosen(names, item), ensure_ascii=False, indent=2)}")
            divider = ","
    sys.stdout.write("[]\n" if divider == "[" else "\n]\n")
    return more


def _print_csv(noun: Noun, names: list[str], pages: Pages) -> bool:
    fields = [noun.fields[name] for name in names]
    sys.stdout.flush()
    binary, more = sys.stdout.buffer, False  # bytes, since a text stream may turn line ends into others
    binary.write(_lines([names]))
    for items, more in pages:  # noqa: B007 - the last one counts
        binary.write(_lines([write(field, item[field.name]) for field in fields] for item in items))
    binary.flush()
    return more


def _lines(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # CRLF between rows (RFC 4180), so that a lone CR in a text is quoted
    return text.getvalue().encode()
