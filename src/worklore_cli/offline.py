"""What a person sees of the time without a hub: remember, sync, offline, and the layers behind recall and warn."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from worklore_cli import nouns_shown
from worklore_cli.failure import Failure
from worklore_client import cache, history, journal, layers, operations, writing
from worklore_client import offline as breaking
from worklore_client.cached import age
from worklore_client.config import Config, NotConnected, client_home, load
from worklore_client.flush import flush
from worklore_client.identity import identity
from worklore_client.layers import Absent, Answer, Question
from worklore_client.operations import Operation, Spooled, SpoolFull
from worklore_client.spool import FlushState, note_files
from worklore_client.syncing import Round

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
TITLE = 200
MOST_TEXT = 60_000
DECIDED, LESSON = "decision-logs", "context-snippets"
CHOICES = ("mine", "theirs")


def configured() -> Config:
    """This machine's configuration. Failure when it is not connected."""
    try:
        return load(client_home())
    except NotConnected as error:
        raise Failure(f"this machine is not connected ({error})", "Run `worklore connect URL --code CODE`") from None


def read(what: str, text: str = "", ask: layers.AskHub | None = None) -> Answer:
    """Read in layers for the present folder; where another than the hub answers, say so on standard error."""
    answer = layers.read(configured(), Question(what, str(Path.cwd()), text, ask))
    if answer.layer != layers.HUB:
        for warning in answer.warnings:
            nouns_shown.warn(nouns_shown.plain(warning))
        nouns_shown.warn(f"Answered {answer.source()}" if answer.layer else "No layer has an answer")
    return answer


def add(app: typer.Typer) -> None:
    """The commands of this module."""
    app.command()(remember)
    app.command()(brief)
    app.command()(sync)
    app.add_typer(offline, name="offline")


# --- remember


def remember(
    text: Annotated[str, typer.Argument(help="What is to be remembered; - reads standard input.")],
    *,
    decision: Annotated[bool, typer.Option("--decision", help="It is a decision.")] = False,
    why: Annotated[str | None, typer.Option(help="Why it was decided.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remember something for this folder's project. Without the hub it waits here and is sent later, once."""
    said = (typer.get_text_stream("stdin").read() if text == "-" else text).strip()
    if not said:
        raise typer.BadParameter("there is nothing to remember")
    if len(said) > MOST_TEXT:
        raise typer.BadParameter(f"{len(said)} characters are too many; at most {MOST_TEXT}")
    config, folder = configured(), str(Path.cwd())
    tags = {"tags": tag} if tag else {}
    try:
        project = writing.project_of(config, folder)
        if decision or why:
            body = {"project_id": project, "decision_type": "stated", "decision_text": said, "rationale": why, **tags}
            kept = Operation("POST", DECIDED, body, about=f"decision: {said}", folder=folder)
        else:
            title = said.splitlines()[0][:TITLE]
            body = {"project_id": project, "category": "lesson", "title": title, "dense_content": said, **tags}
            kept = Operation("POST", LESSON, body, about=f"remembered: {said}", folder=folder)
        spooled = writing.keep(config, kept)
    except (OSError, SpoolFull) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"it cannot be kept on this machine: {reason}", "Make room or see `worklore sync`") from None
    said_of(spooled, deliver(config), as_json=as_json)


def deliver(config: Config) -> str:
    """Send what waits, if the hub is there; "" when all went, else why not."""
    try:
        layers.probe(config)
    except Absent as absent:
        return str(absent)
    if flush(config.home, patient=False):
        return ""
    return FlushState.load(config.home).last_error or "another process is sending"


def said_of(spooled: Spooled, why: str, *, as_json: bool) -> None:
    """Tell what became of an operation that was just spooled."""
    state = state_of(spooled)
    if as_json:
        nouns_shown.print_json(
            {"state": state, "number": spooled.number, "key": spooled.operation.key, "why": why or None}
        )
    elif state == "taken":
        nouns_shown.say("The hub has it")
    elif state == "waiting":
        nouns_shown.say(f"Kept on this machine, and sent when the hub takes it: {nouns_shown.plain(why)}")
    else:
        nouns_shown.warn(f"The hub refused it; it is kept: worklore sync --conflicts (number {spooled.number})")
    if state == "conflict":
        raise typer.Exit(1)


def state_of(spooled: Spooled) -> str:
    """``waiting``, ``taken`` or ``conflict``."""
    if spooled.path.with_suffix(operations.CONFLICT).exists():
        return "conflict"
    return "waiting" if spooled.path.exists() else "taken"


def brief(*, as_json: AsJson = False) -> None:
    """Say where this folder's project stands, as an agent is told when its session starts."""
    answer = read("brief")
    if as_json:
        nouns_shown.print_json(answer.as_dict())
    else:
        nouns_shown.say(answer.text or "Nothing is known of this project yet")


# --- sync


def sync(
    *,
    conflicts: Annotated[bool, typer.Option("--conflicts", help="Show what the hub refused, with both sides.")] = False,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=mine|theirs", help="Decide about a conflict; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send what waits on this machine, and renew what it keeps of this folder's project."""
    config = configured()
    if conflicts:
        show_conflicts(config, as_json=as_json)
        return
    for text in resolve or []:
        decide(config, text)
    rounds: list[Round] = []
    why = ""
    try:
        layers.probe(config)
    except Absent as absent:
        why = str(absent)
    if not why:
        empty = flush(config.home, patient=False, folders=[str(Path.cwd())], report=rounds.append)
        if not empty or not rounds:
            why = FlushState.load(config.home).last_error or "another process is sending"
    report(config, rounds, why, as_json=as_json)


def report(config: Config, rounds: list[Round], why: str, *, as_json: bool) -> None:
    """Tell what came of a synchronisation. Exits with 1 when something waits, or wants a decision."""
    open_conflicts = operations.conflicts(config.home)
    told: dict[str, Any] = {
        "synchronised": not why,
        "why": why or None,
        "taken": sum(each.taken for each in rounds),
        "offered_again": sum(each.restored for each in rounds),
        "waiting": len(operations.waiting(config.home)),
        "notes": len(note_files(config.home)),
        "conflicts": len(open_conflicts),
        "torn": len(operations.torn(config.home)),
        "refreshed": [name for each in rounds for name in each.refreshed],
        "cache_error": next((each.cache_error for each in rounds if each.cache_error), None),
    }
    if as_json:
        nouns_shown.print_json(told)
    else:
        nouns_shown.say(f"Not synchronised: {nouns_shown.plain(why)}" if why else "Synchronised")
        lines = {
            "operations taken by the hub": told["taken"],
            "offered again, since the hub was restored": told["offered_again"],
            "operations that wait": told["waiting"],
            "transcripts that wait": told["notes"],
            "operations that cannot be read (spool/*.torn)": told["torn"],
            "conflicts (worklore sync --conflicts)": told["conflicts"],
        }
        for name, count in lines.items():
            if count:
                nouns_shown.say(f"  {name}: {count}")
        for name in dict.fromkeys(told["refreshed"]):
            nouns_shown.say(f"  kept for the time without the hub: {nouns_shown.plain(name)}")
        if told["cache_error"]:
            nouns_shown.warn(f"What is kept here could not be written ({told['cache_error']})")
    if why or open_conflicts:
        raise typer.Exit(1)


def show_conflicts(config: Config, *, as_json: bool) -> None:
    """Both sides of what the hub refused."""
    found = operations.conflicts(config.home)
    if as_json:
        nouns_shown.print_json([_both(each) for each in found])
        return
    if not found:
        nouns_shown.say("There are no conflicts")
    for each in found:
        both = _both(each)
        made = datetime.fromtimestamp(each.operation.made_at, UTC)
        nouns_shown.say(f"{each.number}: {nouns_shown.plain(each.operation.about or each.operation.path)}")
        nouns_shown.say(f"  {each.operation.method} {each.operation.path}, written {made:%Y-%m-%d %H:%M} UTC")
        nouns_shown.say(f"  refused: {nouns_shown.plain(str(both['why']))}")
        nouns_shown.say(f"  mine:    {nouns_shown.plain(writing.told(both['mine']))}")
        if both["theirs"] is not None:
            nouns_shown.say(f"  theirs:  {nouns_shown.plain(writing.told(both['theirs']))}")
    if found:
        nouns_shown.say("Decide with `worklore sync --resolve NUMBER=mine` or NUMBER=theirs")


def _both(conflict: Spooled) -> dict[str, Any]:
    mine, outcome = conflict.operation.body, conflict.outcome
    current, theirs = conflict.current, None
    if current is not None:
        names = [*cast("dict[str, Any]", mine), "version"] if isinstance(mine, dict) else [*current]
        theirs = {name: current.get(name) for name in names}
    return {
        "number": conflict.number,
        **{name: value for name, value in asdict(conflict.operation).items() if name != "body"},
        "why": outcome.get("detail") or outcome.get("title") or outcome.get("code"),
        "code": outcome.get("code"),
        "status": outcome.get("status"),
        "mine": mine,
        "theirs": theirs,
    }


def decide(config: Config, text: str) -> None:
    """Carry out ``NUMBER=mine`` or ``NUMBER=theirs``."""
    number, _, choice = text.partition("=")
    if choice not in CHOICES or not number.isdecimal():
        raise typer.BadParameter(f"{text} is not of the form NUMBER=mine or NUMBER=theirs")
    found = next((each for each in operations.conflicts(config.home) if each.number == int(number)), None)
    if found is None:
        raise Failure(f"there is no conflict {number}", "`worklore sync --conflicts` lists them")
    try:
        writing.resolve(config, found, choice)
    except ValueError as error:
        raise Failure(f"{number}: {error}", f"`worklore sync --resolve {number}=theirs` gives mine up") from None


# --- offline

offline = typer.Typer(help="What this machine does without the hub, and a way to see it.", no_args_is_help=True)


@offline.callback()
def about_offline() -> None:
    """What this machine does without the hub, and a way to see it."""


@offline.command()
def status(*, as_json: AsJson = False) -> None:
    """Say which layers would answer here now, and what waits to be sent."""
    config, folder = configured(), str(Path.cwd())
    looks: dict[str, Callable[[], str]] = {
        layers.HUB: lambda: _of_hub(config),
        layers.CACHE: lambda: _of_cache(config, folder),
        layers.GIT: lambda: _of_git(folder),
        layers.JOURNAL: lambda: _of_journal(config, folder),
    }
    broken = breaking.simulated(config.home)
    told: dict[str, dict[str, Any]] = {}
    for layer, look in looks.items():
        try:
            detail, answers = look(), layer not in broken
        except Absent as absent:
            detail, answers = str(absent), False
        told[layer] = {"answers": answers, "detail": "broken on purpose" if layer in broken else detail}
    waits = {"operations": len(operations.waiting(config.home)), "transcripts": len(note_files(config.home))}
    waits["conflicts"] = len(operations.conflicts(config.home))
    if as_json:
        nouns_shown.print_json({"layers": told, "waiting": waits, "simulated": broken})
        return
    for layer, found in told.items():
        nouns_shown.say(f"{'ok  ' if found['answers'] else 'no  '}{layer:8}{nouns_shown.plain(found['detail'])}")
    nouns_shown.say(f"waiting: {', '.join(f'{count} {name}' for name, count in waits.items())}")


def _of_hub(config: Config) -> str:
    layers.probe(config)
    return f"{config.hub} answers"


def _of_cache(config: Config, folder: str) -> str:
    reader = cache.reading(config)
    if reader is None:
        raise Absent("nothing is kept on this machine yet; `worklore sync` fetches it")
    try:
        held = reader.project(identity(folder, config.home / "roots.json"))
        size = f"{len(reader.projects())} projects, {reader.size() / 1_048_576:.1f} MB"
    finally:
        reader.close()
    if held is None:
        raise Absent(f"nothing of this folder's project; {size}")
    return f"{held.name}, {age(time.time() - held.fetched)}; {size}"


def _of_git(folder: str) -> str:
    try:
        lines = history.read(folder)
    except history.NoHistory as absent:
        raise Absent(str(absent)) from None
    marked = sum(line.kind != "commit" for line in lines)
    return f"{len(lines) - marked} commits, {marked} trailers and notes of ours"


def _of_journal(config: Config, folder: str) -> str:
    place = journal.place_of(config.home, folder)
    if place is None:
        raise Absent("this project keeps none here (worklore offline journal on)")
    return str(place)


@offline.command()
def simulate(
    layer: Annotated[list[str] | None, typer.Argument(help="Layers to break: hub, cache, git, journal.")] = None,
    *,
    minutes: Annotated[int | None, typer.Option(min=1, help="Mend them after so long [until --off].")] = None,
    off: Annotated[bool, typer.Option("--off", help="Let all layers work again.")] = False,
) -> None:
    """Break layers for this machine's client, to see what happens then. Nothing is lost: what is written waits."""
    home = configured().home
    if off or not layer:
        if not off:
            raise typer.BadParameter(f"name a layer ({', '.join(layers.LAYERS)}), or --off")
        nouns_shown.say("All layers work again" if breaking.mend(home) else "No layer was broken")
        return
    try:
        breaking.simulate(home, layer, minutes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    until = f"for {minutes} minutes" if minutes else "until `worklore offline simulate --off`"
    nouns_shown.say(f"Broken {until}: {', '.join(layer)}")


@offline.command("journal")
def keep_journal(
    switch: Annotated[str, typer.Argument(metavar="on|off", help="Whether this project keeps a journal here.")],
) -> None:
    """Keep a journal in markdown in this project's .worklore folder: readable without the hub, and without us."""
    home, folder = configured().home, str(Path.cwd())
    if switch not in {"on", "off"}:
        raise typer.BadParameter("say on or off")
    if switch == "on":
        place = journal.turn_on(home, folder)
        nouns_shown.say(f"Writes and what is fetched go to {place} as well. Commit it or ignore it, as you like")
    else:
        nouns_shown.say(f"Nothing is written to {journal.turn_off(home, folder)} any more")
