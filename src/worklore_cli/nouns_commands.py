"""List, show, add, set, rm, import and the verbs of one noun, each a command that explains its fields."""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, cast

import typer
from rich.console import RenderableType
from rich.markup import escape
from typer.core import TyperCommand

from worklore_cli import (
    hub_process,
    memory_figures,
    nouns_hub,
    nouns_listing,
    nouns_offline,
    nouns_shown,
    reporting,
    signing_in,
)
from worklore_cli.catalog import Action, Field, Noun, actions_of
from worklore_cli.catalog_values import parse
from worklore_cli.failure import Failure
from worklore_cli.nouns_hub import Record, Records
from worklore_client.wire import HubRefused, HubUnreachable

STALE = 412
CONFLICT = 409
ASKED_FIRST = frozenset({"destructive"})
BY_HAND: Mapping[str, Callable[[typer.Typer, Action], None]] = {
    "credentials/report": reporting.add,
    "memory-windows/stats": memory_figures.add,
}
"""Verbs below a noun that have a command made for people, by their path."""

ON_THE_HUB: Mapping[str, Mapping[str, str]] = {
    "memory": {
        "sweep": "Take out of what is stored the secrets that today's rules find; on the hub's machine.",
        "reindex": "Make anew what recall goes by; on the hub's machine.",
    }
}
"""Commands of the hub's own program that are looked for below a noun."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
FromJson = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Take JSON from a file or, with -, from standard input.")
]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Why; kept in the audit log.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Have the hub try it and undo it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="An id, its beginning, or a unique name.")]
Assignments = Annotated[list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...")]


def _explaining(explain: Callable[[], RenderableType]) -> type[TyperCommand]:
    """A class of commands whose help ends with what `explain` makes."""

    class Explained(TyperCommand):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            super().format_help(ctx, formatter)
            nouns_shown.console().print(explain())

    return Explained


def commands(noun: Noun) -> dict[str, Any]:
    """The commands of a noun by name, those that its verbs allow."""
    app = typer.Typer(add_completion=False)
    adding = {"list": _list, "get": _show, "create": _add, "patch": _set, "delete": _rm}
    for verb, add in adding.items():
        if verb in noun.verbs:
            add(app, noun)
    if noun.verbs & {"create", "patch"} and "list" in noun.verbs:
        _import(app, noun)
    for action in actions_of(noun.name):
        if action.path in BY_HAND:
            BY_HAND[action.path](app, action)
        else:
            _act(app, action, noun)
    for verb, text in ON_THE_HUB.get(noun.name, {}).items():
        hub_process.add_command(app, (noun.name, verb), text)
    return dict(typer.main.get_group(app).commands)


def own_command(action: Action, panel: str) -> Any:
    """The command of a verb that belongs to no noun."""
    app = typer.Typer(add_completion=False)
    app.callback()(lambda: None)
    _act(app, action, None, panel)
    return typer.main.get_group(app).commands[action.name]


# --- reading --------------------------------------------------------------------------------------------------------


def _list(app: typer.Typer, noun: Noun) -> None:
    def run(
        *,
        filters: Annotated[
            list[str] | None,
            typer.Option("--filter", "-f", metavar="FIELD[__SUFFIX]=VALUE", help="Only such rows; may be repeated."),
        ] = None,
        search: Annotated[str | None, typer.Option("--search", "-q", help="Every word occurs in the row.")] = None,
        sort: Annotated[str | None, typer.Option(help="Fields, separated by commas; -FIELD is descending.")] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Rows at most [50; CSV: all].")] = None,
        every: Annotated[bool, typer.Option("--all", help="All rows.")] = False,
        fields: Annotated[str | None, typer.Option(help="These fields, separated by commas.")] = None,
        as_json: AsJson = False,
        as_csv: Annotated[
            bool, typer.Option("--csv", help="Print CSV that import reads; all fields and rows.")
        ] = False,
    ) -> None:
        asked = nouns_listing.Listing(noun, filters or [], search, sort, fields)
        if as_json and as_csv:
            raise typer.BadParameter("--json and --csv exclude each other")
        if every and limit:
            raise typer.BadParameter("--all and --limit exclude each other")
        size = None if every or (as_csv and limit is None) else limit or nouns_listing.DEFAULT_LIMIT
        form = "csv" if as_csv else "json" if as_json else "table"
        nouns_listing.run(asked, size, form)

    explained = _explaining(lambda: nouns_shown.questions_table(noun))
    app.command("list", help=f"List {escape(noun.plural)}.", cls=explained)(run)


def _show(app: typer.Typer, noun: Noun) -> None:
    def run(identifier: Identifier, *, as_json: AsJson = False) -> None:
        hub = nouns_hub.connected()
        try:
            record = hub.get(f"{noun.plural}/{hub.find(noun, identifier)}")
        except HubUnreachable as error:
            record = nouns_offline.show(noun, identifier, error)
        if as_json:
            nouns_shown.print_json(record)
        else:
            nouns_shown.console().print(nouns_shown.record_table(record))
            for action in actions_of(noun.name):
                if action.risk == "read" and not action.finds:
                    nouns_shown.warn(f"More: worklore {noun.name} {action.name} {identifier}")

    app.command("show", help=f"Show all fields of one {noun.name}.")(run)


# --- writing --------------------------------------------------------------------------------------------------------


class Resolver(Protocol):
    """Whoever knows which record a reference names."""

    def resolve(self, field: Field, value: Any) -> Any:
        """Its id."""


def assigned(hub: Resolver, fields: Mapping[str, Field], given: list[str] | None) -> Record:
    """The values of ``FIELD=VALUE`` arguments, references resolved. Wrong ones are errors of usage."""
    body: Record = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or name not in fields:
            what = f"there is no field {name} here" if equals else f"{text} is not of the form FIELD=VALUE"
            raise typer.BadParameter(f"{what}; the fields are {', '.join(fields)}")
        if name in body:
            raise typer.BadParameter(f"{name} is given twice")
        try:
            body[name] = parse(fields[name], value)
        except ValueError as error:
            raise typer.BadParameter(f"{name} {error}") from None
    return {name: hub.resolve(fields[name], value) for name, value in body.items()}


def _read_json(source: str) -> Any:
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"{'standard input' if source == '-' else source} is no JSON: {error}") from None


def _body(hub: Resolver, fields: Mapping[str, Field], given: list[str] | None, source: str | None) -> Any:
    if source and given:
        raise typer.BadParameter("give either FIELD=VALUE or --json")
    return _read_json(source) if source else assigned(hub, fields, given)


def _add(app: typer.Typer, noun: Noun) -> None:
    fields = {field.name: field for field in noun.where("create")}

    def run(
        given: Assignments = None, *, source: FromJson = None, message: Message = None, dry_run: DryRun = False
    ) -> None:
        missing = [field.name for field in fields.values() if field.required]
        if not source:
            missing = [name for name in missing if not any(text.startswith(f"{name}=") for text in given or [])]
            if missing:
                raise typer.BadParameter(f"{', '.join(missing)} must be given")
        hub = nouns_hub.connected()
        key, body = nouns_offline.new_key(), None
        try:
            body = _body(hub, fields, given, source)
            headers = {"Idempotency-Key": key}
            made = hub.write("POST", noun.plural, body, headers=headers, message=message, dry_run=dry_run).body
        except HubUnreachable as error:
            unsent = nouns_offline.Unsent(error, key, message)
            unsent.allowed(noun, dry_run=dry_run)
            nouns_offline.add(noun, body or assigned(nouns_offline.References(), fields, given), unsent)
            return
        if source:
            nouns_shown.print_json(made)
        else:
            nouns_shown.say(f"{'Would make' if dry_run else 'Made'} {noun.name} {made['id']}")

    explained = _explaining(lambda: nouns_shown.fields_table(fields.values(), creating=True))
    app.command("add", help=f"Make a {noun.name}; from a JSON list several, all or none.", cls=explained)(run)


def _set(app: typer.Typer, noun: Noun) -> None:
    fields = {field.name: field for field in noun.where("change")}

    def run(
        identifier: Identifier,
        given: Assignments = None,
        *,
        source: FromJson = None,
        message: Message = None,
        version: Annotated[int | None, typer.Option(min=1, help="The version you read [the present one].")] = None,
        dry_run: DryRun = False,
    ) -> None:
        if not (given or source):
            raise typer.BadParameter("nothing is to be changed; give FIELD=VALUE")
        hub = nouns_hub.connected()
        key, body, before = nouns_offline.new_key(), None, Record()
        try:
            body = _body(hub, fields, given, source)
            path = f"{noun.plural}/{hub.find(noun, identifier)}"
            before = hub.get(path)
            headers = {"Idempotency-Key": key}
            headers |= {"If-Match": f'"{version or before["version"]}"'} if noun.versioned else {}
            after = hub.write("PATCH", path, body, headers=headers, message=message, dry_run=dry_run).body
        except HubUnreachable as error:
            unsent = nouns_offline.Unsent(error, key, message)
            unsent.allowed(noun, dry_run=dry_run)
            local = body or assigned(nouns_offline.References(), fields, given)
            # It may have arrived: what waits is the same request, against the same version.
            nouns_offline.change(noun, identifier, local, unsent, version or before.get("version"))
            return
        except HubRefused as error:
            if error.status != STALE:
                raise
            raise _stale(noun, before, body or {}, error) from None
        if source:
            nouns_shown.print_json(after)
            return
        for name in [name for name in fields if before.get(name) != after.get(name)]:
            nouns_shown.say(f"{name}: {_short(before.get(name))} → {_short(after.get(name))}")
        if before.get("version") == after.get("version"):
            nouns_shown.say("Nothing has changed")

    explained = _explaining(lambda: nouns_shown.fields_table(fields.values(), creating=False))
    app.command("set", help=f"Change fields of a {noun.name}.", cls=explained)(run)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - most of a line


def _stale(noun: Noun, before: Record, body: Mapping[str, Any], error: HubRefused) -> Failure:
    """What somebody else changed meanwhile or, where the version was the caller's, what stands there now."""
    current: Record = error.problem.get("current") or {}
    moved = [name for name in [field.name for field in noun.where("change")] if before.get(name) != current.get(name)]
    lines = [f"{name}: {_short(before.get(name))} → {_short(current.get(name))}" for name in moved]
    lines = lines or [f"{name} is {_short(current.get(name))} now" for name in body]
    return Failure(
        f"the {noun.name} has changed since it was read, it is at version {current.get('version')} now. "
        + nouns_shown.plain("; ".join(lines)),
        "Look at it and decide again",
    )


def _rm(app: typer.Typer, noun: Noun) -> None:
    def run(
        identifier: Identifier,
        *,
        cascade: Annotated[bool, typer.Option("--cascade", help="Delete the records that may go with it too.")] = False,
        dry_run: DryRun = False,
        yes: Yes = False,
        message: Message = None,
    ) -> None:
        hub = nouns_hub.connected()
        key = hub.find(noun, identifier)
        path = f"{noun.plural}/{key}"
        before = hub.get(path)
        if not (yes or dry_run):
            known = next((str(before[name]) for name in (*noun.names, *noun.brief) if before.get(name)), "")
            typer.confirm(nouns_shown.plain(f"Delete the {noun.name} {key} {known}".rstrip() + "?"), abort=True)
        headers = {"If-Match": f'"{before["version"]}"'} if noun.versioned else {}
        try:
            answer = hub.write("DELETE", path, headers=headers, message=message, dry_run=dry_run, cascade=cascade)
        except HubRefused as error:
            if error.status != CONFLICT or not error.problem.get("children"):
                raise
            raise _depended_on(noun, error.problem) from None
        if dry_run:
            for gone in answer.body["would_delete"]:
                nouns_shown.say(f"Would delete {gone['noun']} {gone['id']}")
        else:
            nouns_shown.say(f"Deleted {noun.name} {key}")

    app.command("rm", help=f"Delete a {noun.name}.")(run)


def _depended_on(noun: Noun, problem: Mapping[str, Any]) -> Failure:
    told: list[str] = []
    for child in problem["children"]:
        ids = ", ".join(child["ids"][:5]) + (", …" if child["count"] > len(child["ids"][:5]) else "")
        told.append(f"{child['count']} {child['noun']}{' (goes with --cascade)' if child['cascades'] else ''}: {ids}")
    return Failure(
        f"the {noun.name} still has records that depend on it. {'; '.join(told)}",
        "Delete those first, or retire it instead; --cascade --dry-run shows what would go",
    )


def _import(app: typer.Typer, noun: Noun) -> None:
    def run(
        file: Annotated[str, typer.Argument(metavar="FILE", help="CSV in UTF-8; - is standard input.")],
        *,
        key: Annotated[
            str | None, typer.Option(help="The field, or fields, that tell which record a row is about.")
        ] = None,
        preview: Annotated[bool, typer.Option("--preview", help="Say what each row would do; change nothing.")] = False,
        yes: Yes = False,
        message: Message = None,
    ) -> None:
        from worklore_cli import importing  # noqa: PLC0415 - only here

        keys = [name.strip() for name in key.split(",") if name.strip()] if key else []
        for name in keys:
            if "" not in noun.filters.get(name, ()):
                raise typer.BadParameter(f"{name} cannot tell records apart; one of {', '.join(noun.filters)} can")
        importing.run(
            nouns_hub.connected(), noun, importing.Wish(file, keys, preview=preview, yes=yes, message=message)
        )

    text = f"Make and change {noun.plural} from CSV, as list --csv writes it."
    app.command("import", help=escape(text))(run)


# --- verbs ----------------------------------------------------------------------------------------------------------


def _act(app: typer.Typer, action: Action, noun: Noun | None, panel: str | None = None) -> None:
    """A verb as a command: its result as JSON. On a record it takes the id first."""
    fields = {field.name: field for field in action.fields}

    def call(identifier: str | None, given: list[str] | None, source: str | None, **write: Any) -> None:
        hub = nouns_hub.connected()
        body = _body(hub, fields, given, source) if action.body else None
        if action.finds and noun is not None:
            nouns_shown.print_json(hub.get(f"{noun.plural}/{action.name}", **_parameters(body or {}))["items"])
            return
        path = action.path
        if noun is not None and identifier is not None:
            path = f"{noun.plural}/{hub.find(noun, identifier)}/{action.name}"
        if action.risk == "read":
            nouns_shown.print_json(hub.send("POST", path, body=body).body)
            return
        if action.risk in ASKED_FIRST and not (write["yes"] or write["dry_run"]):
            typer.confirm(f"{action.description} Go on?", abort=True)
        if (action.noun, action.name) in signing_in.FOR_PEOPLE:
            with signing_in.as_person(hub) as person:
                shown = person.write("POST", path, body, message=write["message"], dry_run=write["dry_run"]).body
            nouns_shown.print_json(_whole(hub, shown))
            return
        answer = hub.write("POST", path, body, message=write["message"], dry_run=write["dry_run"])
        nouns_shown.print_json(answer.body)

    on_record = bool(action.noun) and not action.finds
    command = _signed(call, on_record=on_record, body=action.body, writes=action.risk != "read")
    explained = _explaining(lambda: nouns_shown.fields_table(fields.values(), creating=True) if fields else "")
    text = f"{escape(action.description)} Risk: {action.risk}."
    app.command(action.name, help=text, cls=explained, rich_help_panel=panel)(command)


def _whole(hub: Records, shown: Record) -> Record:
    """The answer, with its link as people can follow it: a hub may not know by which address it is reached."""
    link = str(shown.get("url", ""))
    return {**shown, "url": hub.url + link} if link.startswith("/") else shown


def _parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as they stand in a URL: lists separated by commas."""

    def text(value: Any) -> str:
        return ",".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)

    return {name: text(value) for name, value in values.items()}


def _signed(call: Callable[..., None], *, on_record: bool, body: bool, writes: bool) -> Callable[..., None]:
    """`call` with the parameters that the verb has: Typer makes arguments and options of them."""
    keyword, positional = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    wanted = [
        (on_record, inspect.Parameter("identifier", positional, annotation=Identifier)),
        (body, inspect.Parameter("given", positional, annotation=Assignments, default=None)),
        (body, inspect.Parameter("source", keyword, annotation=FromJson, default=None)),
        (writes, inspect.Parameter("message", keyword, annotation=Message, default=None)),
        (writes, inspect.Parameter("dry_run", keyword, annotation=DryRun, default=False)),
        (writes, inspect.Parameter("yes", keyword, annotation=Yes, default=False)),
    ]
    parameters = [parameter for has, parameter in wanted if has]

    def run(**given: Any) -> None:
        call(given.pop("identifier", None), given.pop("given", None), given.pop("source", None), **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer looks at
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
