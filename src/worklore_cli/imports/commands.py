"""``worklore import``: what people have already, from where other programs keep it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from worklore_cli import hub_process, nouns_hub, nouns_shown
from worklore_cli.catalog import noun
from worklore_cli.failure import Failure
from worklore_cli.imports import auto_memory, basic_memory, claude_mem, instructions, mem0, transcripts
from worklore_cli.imports.memory import Found
from worklore_cli.imports.sending import Counts, Project, Sending, find_project
from worklore_cli.nouns_hub import Records
from worklore_client.config import client_home, user_home
from worklore_client.wire import HubError

STOPPED = 130
AGAIN = "Run it again: it goes on where it was, and doubles nothing"

From = Annotated[
    Path | None, typer.Option("--from", metavar="PATH", help="Where it is kept, if not in the usual place.")
]
Into = Annotated[
    str | None, typer.Option("--project", help="Id or slug of the project that is meant, instead of its folder's.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; send nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

imports = typer.Typer(
    help="Take over what other programs hold: transcripts, memories, instructions. Twice doubles nothing.",
    no_args_is_help=True,
)


@imports.callback()
def about_imports() -> None:
    """Take over what other programs hold: transcripts, memories, instructions. Twice doubles nothing."""


@dataclass(frozen=True)
class Part:
    """What goes into one project. `total` is how many memories there are, None where nobody has counted."""

    project: Project
    found: Iterable[Found]
    covers: Callable[[str, str], bool]
    total: int | None = None


@imports.command("transcripts")
def import_transcripts(
    *, source: From = None, project: Into = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Send the sessions that Claude Code has kept on this machine, those first that it will delete first.

    It deletes them after 30 days, unless told otherwise. Each session goes to the project of the folder it worked in;
    with --project only sessions of that project are sent.

    Example: worklore import transcripts --dry-run
    """
    done = transcripts.Done()
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
            task = bar.add_task("Sending transcripts", total=None)
            transcripts.run(
                client_home(),
                source,
                transcripts.Wish(project, dry_run),
                done,
                lambda place, total: bar.update(task, completed=place, total=total),
            )
    except KeyboardInterrupt:
        _stopped(done.as_dict(), done.lines(dry_run=dry_run), "stopped", as_json=as_json)
    except HubError as error:
        _stopped(done.as_dict(), done.lines(dry_run=dry_run), str(error), as_json=as_json)
    _tell({**done.as_dict(), "dry_run": dry_run}, done.lines(dry_run=dry_run), as_json=as_json)
    if done.unread:
        raise typer.Exit(1)


@imports.command("auto-memory")
def import_auto_memory(
    *, source: From = None, project: Into = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Take over what Claude Code has noted for itself: the memory folders of all its projects, or the one named.

    Example: worklore import auto-memory --from ~/.claude/projects/-srv-acme/memory --project acme
    """
    hub, home = nouns_hub.connected(), client_home()
    places = auto_memory.places(source)
    wanted = find_project(hub, home, wanted=project, folder="", dry_run=dry_run) if project else None
    parts: list[Part] = []
    for place in places:
        folder = place.folder or ("" if source is None else str(Path.cwd()))
        target = wanted if len(places) == 1 else None
        if target is None and not folder:
            nouns_shown.warn(f"{place.path}: nobody knows its project's folder; import it with --from and --project")
            continue
        # Of many folders, those of the project that is named; one that is named goes where it is told to.
        target = target or find_project(hub, home, wanted=None, folder=folder, dry_run=dry_run or wanted is not None)
        if wanted is None or target.id == wanted.id:
            parts.append(Part(target, auto_memory.memories(place), place.covers))
    _take(hub, auto_memory.PROGRAM, parts, dry_run=dry_run, as_json=as_json)


@imports.command("instructions")
def import_instructions(
    *, source: From = None, project: Into = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Take over CLAUDE.md and AGENTS.md of this folder, of those above it and of your home, with what they import.

    Agents are told of them as background, like of any memory: they do not become instructions of other machines.

    Example: worklore import instructions --from ~/work/acme
    """
    folder = (source or Path.cwd()).expanduser().absolute()
    if not folder.is_dir():
        raise Failure(f"{folder} is no folder", "--from names the project's folder")
    hub = nouns_hub.connected()
    target = find_project(hub, client_home(), wanted=project, folder=str(folder), dry_run=dry_run)
    found = list(instructions.memories(folder, user_home()))
    part = Part(target, found, instructions.covers, len(found))
    _take(hub, instructions.PROGRAM, [part], dry_run=dry_run, as_json=as_json)


@imports.command("claude-mem")
def import_claude_mem(
    *,
    source: From = None,
    project: Into = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Only what claude-mem keeps under this project's name. Repeatable.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over observations, summaries and prompts of claude-mem's database, which is only read.

    Each of its projects goes to the project here that has the same name or slug; --project says another one.

    Example: worklore import claude-mem --name acme --project acme-network
    """
    hub = nouns_hub.connected()
    with claude_mem.opened(source) as database:
        chosen = claude_mem.chosen(database, name or [], is_one=project is not None)
        parts: list[Part] = []
        for each in chosen:
            target = _of_name(hub, each, project, dry_run=dry_run)
            if target is None:
                nouns_shown.warn(
                    f"{each}: there is no project of that name here; import it with --name '{each}' --project ID"
                )
                continue
            found = claude_mem.memories(database, each)
            parts.append(Part(target, found, database.covers(each), database.count(each)))
        _take(hub, claude_mem.PROGRAM, parts, dry_run=dry_run, as_json=as_json)


def _of_name(hub: Records, name: str, wanted: str | None, *, dry_run: bool) -> Project | None:
    """The project for what another program keeps under a name; None where nothing here is called so."""
    here = Path.cwd()
    if wanted is not None or name == here.name:
        return find_project(hub, client_home(), wanted=wanted, folder=str(here), dry_run=dry_run)
    for field in ("slug", "name"):
        found = hub.page(noun("project"), {field: name, "fields": "id,name", "limit": "2"})["items"]
        if len(found) == 1:
            return Project(found[0]["id"], found[0]["name"])
    return None


@imports.command("basic-memory")
def import_basic_memory(
    *, source: From = None, project: Into = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Take over the notes of a basic-memory folder, by default those of ~/basic-memory.

    Example: worklore import basic-memory --from ~/notes --project acme
    """
    folder = basic_memory.folder_of(source)
    hub = nouns_hub.connected()
    target = find_project(hub, client_home(), wanted=project, folder=str(Path.cwd()), dry_run=dry_run)
    part = Part(target, basic_memory.memories(folder), basic_memory.covering(folder))
    _take(hub, basic_memory.PROGRAM, [part], dry_run=dry_run, as_json=as_json)


@imports.command("mem0")
def import_mem0(*, source: From = None, project: Into = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take over memories of mem0 from a JSON file with what its get_all or its export gave.

    Example: worklore import mem0 --from memories.json --project acme
    """
    if source is None:
        raise typer.BadParameter("--from names the file with what get_all gave")
    file = source.expanduser().absolute()
    entries = mem0.read(file)
    hub = nouns_hub.connected()
    target = find_project(hub, client_home(), wanted=project, folder=str(Path.cwd()), dry_run=dry_run)
    part = Part(target, mem0.memories(file, entries), lambda _, of: of == str(file), len(entries))
    _take(hub, mem0.PROGRAM, [part], dry_run=dry_run, as_json=as_json)


hub_process.add_command(imports, ("import", "netbox"), "Clients, sites, hosts, networks and services of a NetBox dump.")


def _take(hub: Records, program: str, parts: list[Part], *, dry_run: bool, as_json: bool) -> None:
    """Send the parts one after the other, and tell what became of each. Exits with 1 when something was not read."""
    done: list[tuple[Project, Counts]] = []
    console = Console(stderr=True)

    def told() -> dict[str, Any]:
        projects = [{"project": each.id or None, "name": each.name, **counts.as_dict()} for each, counts in done]
        return {"program": program, "dry_run": dry_run, "projects": projects}

    def lines() -> list[str]:
        found = [f"{each.name}: {counts.line(dry_run=dry_run)}" for each, counts in done]
        unread = [f"  {each.what}: {each.why}" for _, counts in done for each in counts.unread]
        return [*found, *unread] or ["There is nothing to import"]

    try:
        with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
            for part in parts:
                sending = Sending(hub, program, part.project, part.covers, dry_run)
                done.append((part.project, sending.counts))
                task = bar.add_task(part.project.name, total=part.total)
                sending.run(part.found, lambda task=task: bar.advance(task))  # type: ignore[misc]
    except KeyboardInterrupt:
        _stopped(told(), lines(), "stopped", as_json=as_json)
    except HubError as error:
        _stopped(told(), lines(), str(error), as_json=as_json)
    _tell(told(), lines(), as_json=as_json)
    if any(counts.unread for _, counts in done):
        raise typer.Exit(1)


def _tell(told: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        nouns_shown.print_json(told)
        return
    for line in lines:
        nouns_shown.say(line)


def _stopped(told: dict[str, Any], lines: Iterable[str], why: str, *, as_json: bool) -> None:
    """Tell what was done until then, and how to go on."""
    _tell({**told, "stopped": why}, lines, as_json=as_json)
    raise Failure(why, AGAIN, status=STOPPED if why == "stopped" else 1)
