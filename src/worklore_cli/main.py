"""The ``worklore`` command."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from worklore_cli import (
    capturing,
    connecting,
    doctor,
    exporting,
    hook_log,
    hub_process,
    nouns_shown,
    offline,
    redacting,
    replaying,
    secret,
    showing,
)
from worklore_cli.failure import Failure
from worklore_cli.imports.commands import imports
from worklore_cli.nouns import RootGroup
from worklore_client.agent_settings import SettingsRefused
from worklore_client.config import HomeUnknown, client_home
from worklore_client.identity import identity
from worklore_client.wire import Hub, HubError, HubRefused

HUB_COMMANDS = {
    "serve": "Start the hub on this machine.",
    "db": "Upgrade, check and back up the hub's database.",
    "backup": "Make, list, verify and restore backups of the hub's database.",
    "keys": "Make, change and back up the keys of the vault.",
    "vault": "See that every sealed secret opens.",
    "audit": "Verify the change audit, and read it.",
    "config": "Show and check the hub's settings.",
    "bench": "Measure recall and speed of the hub.",
    "demo-data": "Fill a database with a made-up service provider.",
    "hub": "Other things to do on the hub's own machine.",
}

app = typer.Typer(
    name="worklore",
    cls=RootGroup,
    help="The record of work and the memory that people and their AI agents share.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}


def say(text: str) -> None:
    """Print a line as it is."""
    out.print(escape(text))


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version as installed_version  # noqa: PLC0415 - a fifth of every command's start

        say(f"worklore {installed_version('worklore')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The record of work and the memory that people and their AI agents share."""


@app.command()
def connect(
    url: Annotated[str, typer.Argument(help="The hub's address, as it prints it when it starts.")],
    *,
    code: Annotated[str | None, typer.Option(help="The one-time code. Not needed where the token still works.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call this machine (its host name).")] = None,
    ca_file: Annotated[str, typer.Option(help="Certificate authority of the hub, where it is an internal one.")] = "",
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An agent that is to have hooks [those found here]. Repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Connect this machine: sign in, register it, put the hooks into the agents' settings, prove a round trip."""
    asking = sys.stdin.isatty() and not yes and not dry_run
    chosen = connecting.agents_named(agent) if agent else connecting.agents_here()
    target = connecting.reached(connecting.Target(client_home(), url, code, name, ca_file))
    if asking and not agent:
        chosen = [each for each in chosen if typer.confirm(f"Put hooks into {each.settings_path()}?", default=True)]
    target = replace(target, adapters=chosen)
    planned = connecting.plan(target, may_ask=asking)
    if dry_run:
        connecting.foretell(planned, say)
        return
    connecting.connect(target, planned, say, connecting.Person(_ask_code, _ask_password) if asking else None)
    say("Connected. `worklore doctor` says at any time whether memory works, `worklore disconnect` takes it out again")


def _ask_code() -> str:
    """The one-time code of a browser or another machine."""
    return str(typer.prompt("Code"))


def _ask_password() -> str:
    say("A password of your own lets you sign in without this machine. If you have one, it stays as it is.")
    while True:
        given = _hidden("Password (Enter: none)")
        if not given or given == _hidden("Once more"):
            return given
        say("The two differ")


def _hidden(text: str) -> str:
    return str(typer.prompt(text, default="", hide_input=True, show_default=False))


@app.command()
def disconnect(
    *,
    agent: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="That agent alone; the token stays. Repeatable.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Take exactly our hooks out of the agents' settings and forget the token."""
    connecting.disconnect(client_home(), say, names=agent or (), dry_run=dry_run)


@app.command("doctor")
def run_doctor(*, as_json: AsJson = False) -> None:
    """Say what works and what does not. Exits with 1 when memory does not work."""
    checks = doctor.examine(client_home())
    works = doctor.working(checks)
    if as_json:
        print_json({"working": works, "checks": [asdict(check) for check in checks]})
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for check in checks:
            detail = escape(check.detail) + (f"\n→ {escape(check.hint)}" if check.hint else "")
            table.add_row(f"[{COLOURS[check.state]}]{check.state}[/]", check.name, detail)
        out.print(table)
        say("Memory works" if works else "Memory does NOT work on this machine")
    if not works:
        raise typer.Exit(1)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Say on one screen where this machine stands, without asking the hub for more than a sign of life."""
    standing = doctor.stand(client_home())
    if as_json:
        print_json(standing.as_dict())
    else:
        for line in standing.lines():
            say(line)
    if standing.alarm or not standing.answers:
        raise typer.Exit(1)


@app.command("log")
def show_log(
    *,
    event: Annotated[str, typer.Option(help="Only of this event, such as UserPromptSubmit or flush.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many lines, the newest last.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the hooks kept to themselves: a line for each time that one gave up in silence."""
    home = client_home()

    def show(line: hook_log.Line) -> None:
        if as_json and follow:
            out.print_json(data=line.as_dict(), indent=None)
        else:
            advice = doctor.ADVICE.get(line.code, "")
            say(f"{line.time}  {line.event}  {line.code}" + (f"  ({advice})" if advice else ""))

    found = hook_log.lines(home, event)
    shown = found[len(found) - last :] if last < len(found) else found
    if as_json and not follow:
        print_json([line.as_dict() for line in shown])
        return
    for line in shown:
        show(line)
    if not shown and not follow:
        say("No hook has given up")
    with contextlib.suppress(KeyboardInterrupt):
        for line in hook_log.follow(home, event) if follow else ():
            show(line)


@app.command()
def code(*, as_json: AsJson = False) -> None:
    """Make a further one-time code, to connect another machine."""
    config, hub = connecting.connected(client_home())
    made = hub.post("setup-codes", {})
    if as_json:
        print_json(made)
    else:
        say(f"On the other machine:  worklore connect {config.hub} --code {made['code']}")
        say(f"Good once, until {made['expires_at']}")


@app.command()
def recall(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    *,
    project: Annotated[str | None, typer.Option(help="Id or slug of a project [the one of this folder].")] = None,
    client: Annotated[str | None, typer.Option(help="Id or name of a client: all its projects are asked.")] = None,
    session: Annotated[str | None, typer.Option(help="Only of this session: its id, or the agent's own.")] = None,
    host: Annotated[str | None, typer.Option(help="Only said on this machine, or about this asset.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only turns, or work records of a kind: turn, solution, failure, decision... Repeatable."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only what has any of these tags. Repeatable.")] = None,
    since: Annotated[str | None, typer.Option(help="Only said at or after this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Only said before this time.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Only what was said by this time and valid then.")] = None,
    trust: Annotated[
        str | None, typer.Option(help="Only what can be relied on so far: transcript, stated or confirmed.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Tokens the answer may cost.")] = 1000,
    limit: Annotated[int | None, typer.Option(min=1, help="Memories at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the memory a question, as an agent would."""
    config = offline.configured()
    about = None if project or client else identity(str(Path.cwd()), config.home / "roots.json")
    only: dict[str, Any] = {"client": client, "session": session, "host": host, "since": since, "until": until}
    only |= {"as_of": as_of, "trust_min": trust, "kinds": kind or None, "tags": tag or None}
    asked = {"question": question, "project": project, "identity": about, "budget": budget, "limit": limit}
    asked |= {name: value for name, value in only.items() if value is not None}
    if project or any(only.values()):
        # No other layer can tell one project, host or kind from another.
        answer, from_hub = connecting.connected(config.home)[1].post("recall", asked), True
    else:
        read = offline.read("recall", question, lambda hub: hub.post("recall", asked))
        answer, from_hub = read.as_dict(), read.told is not None
    if as_json:
        print_json(answer)
        return
    if answer["text"]:
        say(str(answer["text"]))
    else:
        say("Nothing is remembered about that")
    if not from_hub:
        return
    if answer.get("notice"):
        err.print(escape(str(answer["notice"])))
    cost = f"{answer['tokens']} of {budget} tokens ({answer['tokenizer']})"
    err.print(escape(f"{cost}, {len(answer['items'])} of {answer['searched']} memories, {answer['ms']:.0f} ms"))


@app.command()
def warn(
    command: Annotated[str, typer.Argument(help="The command you are about to run, in quotation marks.")],
    *,
    host: Annotated[
        str | None, typer.Option(help="Name, address or id of the host it would run on [this one].")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Id or slug of a project [the one of this folder].")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask what is known to fail of a command before you run it. Exits with 1 when something is."""
    config = offline.configured()
    about = None if project else identity(str(Path.cwd()), config.home / "roots.json")

    def ask(hub: Hub) -> dict[str, Any]:
        try:
            return hub.post("warnings", {"command": command, "host": host, "project": project, "identity": about})
        except HubRefused as error:
            if project or error.problem.get("code") != "project-unknown":
                raise
            # A folder that is no project's: what is known of the host is told all the same.
            return hub.post("warnings", {"command": command, "host": host})

    read = offline.read("warnings", command, ask)
    answer = read.as_dict()
    if as_json:
        print_json(answer)
    else:
        lines = _cautions(answer["warnings"]) if read.told is not None else read.text.splitlines()
        for line in lines or ["Nothing is known to fail about that"]:
            say(nouns_shown.plain(line))
    if answer["warnings"] if read.told is not None else read.items:
        raise typer.Exit(1)


def _cautions(found: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for caution in found:
        lines.append(f"{caution['confidence']}: {caution['why']}")
        lines += [f"  {name}: {caution[name]}" for name in ("error", "instead") if caution[name]]
    return lines


secrets = typer.Typer(help="Use secrets without seeing them.", no_args_is_help=True)
app.add_typer(secrets, name="secret")


@secrets.callback()
def use_secrets() -> None:
    """Use secrets without seeing them."""


@secrets.command("run", context_settings={"allow_interspersed_args": False})
def run_with_secret(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The program and its arguments.")],
    *,
    credential: Annotated[str, typer.Option(help="The credential's id, or its beginning.")],
    field: Annotated[str, typer.Option(help="Which of its secrets.")] = "password",
    env: Annotated[str, typer.Option(metavar="NAME", help="The variable that holds it; PASSWORD for a password.")] = "",
    stdin: Annotated[bool, typer.Option("--stdin", help="Give it on standard input, as a line, instead.")] = False,
    purpose: Annotated[str, typer.Option(help="What it is needed for; kept on record.")] = "",
) -> None:
    """Run a program with a secret in its environment; its output is passed on without the secret."""
    if env and stdin:
        raise typer.BadParameter("--env and --stdin exclude each other")
    wish = secret.Wish(credential, field, command, purpose or f"run {command[0]}"[:500], env, stdin)
    raise typer.Exit(secret.run(wish))


@app.command()
def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Transcripts as the agent writes them (JSONL).", exists=True, dir_okay=False)
    ],
    *,
    home: Annotated[Path | None, typer.Option(help="The client's folder [WORKLORE_HOME or ~/.worklore].")] = None,
    folder: Annotated[Path | None, typer.Option(help="The project's folder to work in [the present one].")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for everything to be sent.")] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Drive recorded transcripts through the installed hooks, as if they happened now. Twice doubles nothing."""
    runner = replaying.Replay((home or client_home()).absolute(), (folder or Path.cwd()).absolute(), wait)
    with Progress(console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
        reports: list[replaying.Report] = []
        for path in files:
            task = progress.add_task(path.name)
            reports.append(runner.run(path, partial(_progressed, progress, task)))
    total = replaying.total(reports)
    if as_json:
        print_json({**total, "files": [report.as_dict() for report in reports]})
    else:
        for report in reports:
            say(report.line())
        say(replaying.summary(total))
    if total["failures"] or not total["drained"]:
        raise typer.Exit(1)


@app.command("capture")
def capture_transcripts(
    transcripts: Annotated[list[str], typer.Argument(help="Transcripts (JSONL), or ids of sessions.")],
    *,
    again: Annotated[bool, typer.Option("--again", help="From the start, by the rules the hub has today.")] = False,
    home: Annotated[Path | None, typer.Option(help="The client's folder [WORKLORE_HOME or ~/.worklore].")] = None,
    folder: Annotated[Path | None, typer.Option(help="The project's folder [the one the transcript names].")] = None,
    as_json: AsJson = False,
) -> None:
    """Send transcripts of Claude Code or Codex to the hub now. Twice doubles nothing, and what was deleted stays so."""
    chosen = (home or client_home()).absolute()
    sent = [capturing.capture(chosen, wanted, again=again, folder=folder) for wanted in transcripts]
    if as_json:
        print_json({"files": [asdict(each) for each in sent]})
        return
    for each in sent:
        say(
            f"{each.file}: {each.records} records sent, {each.windows} memories stored, {each.duplicates} known already"
        )


def _progressed(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


@app.command()
def redact(
    source: Annotated[str, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Print the places instead, never a secret; exit with 1 when there are any.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print a text without the secrets in it; on standard error, how many of which kind."""
    raise typer.Exit(redacting.run(source, as_json=as_json, check=check))


@app.command()
def demo() -> None:
    """Show it on a hub of its own: work done on one pretended machine is told to the agent on another."""
    showing.demo(say)


offline.add(app)
app.add_typer(imports, name="import")
app.command("export")(exporting.export)
for _name, _text in HUB_COMMANDS.items():
    hub_process.add_command(app, (_name,), _text)


def _reported(run: Callable[[], None]) -> int:
    """Run the command; what goes wrong in a foreseen way becomes one line that says what to do."""
    status = 1
    try:
        run()
    except Failure as failure:
        what, hint, status = str(failure), failure.hint, failure.status
    except (HubError, SettingsRefused) as error:
        what, hint = str(error), ""
    except HomeUnknown as error:
        what, hint = str(error), "Set HOME"
    except OSError as error:
        what, hint = f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}", ""
    else:
        return 0
    err.print(f"[red]worklore:[/] {escape(what)}" + (f". {escape(hint)}" if hint else ""))
    return status


def main() -> None:
    """Entry point of the command line. A console that cannot show a character shows a question mark for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_reported(app))
