"""The hub's own commands, run on the machine the hub runs on: serve, code, config, openapi, catalog."""

import argparse
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn

from worklore.app import Hub, build
from worklore.kernel.errors import HubError, UnavailableError
from worklore.kernel.settings import Settings, describe, load
from worklore.kernel.transaction import Database
from worklore.ops import migrate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. An error the operator can mend is one line and code 2."""
    options = _parser().parse_args(arguments)
    _configure_log("warning")
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except HubError as error:
        print(f"worklore: {error.detail} {error.hint or ''}".rstrip(), file=sys.stderr)  # noqa: T201 - a command's answer
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worklore", description="The hub's own commands.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the hub; sets up or upgrades its database first")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8420); 0 takes any free one")
    serve.add_argument("--database-url", help="sqlite:///path, mariadb://... or postgresql://...")
    serve.add_argument("--data", type=Path, help="folder of the database file and the hub's key")
    serve.add_argument("--ready-file", type=Path, help="write address and process id here as JSON once it serves")
    serve.set_defaults(run=_serve)
    hub = commands.add_parser("hub", help="look after a hub that is not running").add_subparsers(
        required=True, metavar="TASK"
    )
    code = hub.add_parser("code", help="print a one-time code for a machine of the owner")
    code.set_defaults(run=_code)
    config = commands.add_parser("config", help="show the settings and where each comes from")
    config.add_argument("task", choices=["show"])
    config.add_argument("--json", action="store_true")
    config.set_defaults(run=_config)
    database = commands.add_parser("db", help="look at or upgrade the database's schema")
    database.add_argument("task", choices=["current", "upgrade"])
    database.add_argument("--json", action="store_true")
    database.set_defaults(run=_db)
    bench = commands.add_parser("bench", help="measure recall on a data set").add_subparsers(
        required=True, metavar="WHAT"
    )
    measured = bench.add_parser("recall", help="evidence recall of a data set's folder, beside FTS5 and grep")
    measured.add_argument("folder", type=Path)
    measured.add_argument("--json", action="store_true")
    measured.add_argument("--database-url", help="measure beside this one (WORKLORE_DATABASE_URL)")
    measured.set_defaults(run=_bench_recall)
    document = commands.add_parser("openapi", help="print the OpenAPI document")
    document.set_defaults(run=_openapi)
    catalogue = commands.add_parser("catalog", help="print every noun and verb as data, for the command line")
    catalogue.set_defaults(run=_catalog)
    return parser


def _configure_log(level: str) -> None:
    """Log lines of this level and above to standard error; standard output is for answers."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [structlog.processors.format_exc_info]),
            # Plain tracebacks: the colourful ones print local variables, and with them secrets.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if terminal
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class _Server(uvicorn.Server):
    """A server that says when it serves."""

    def __init__(self, config: uvicorn.Config, on_ready: Any) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def _serve(options: argparse.Namespace) -> int:
    settings = load(host=options.host, port=options.port, database_url=options.database_url, data=options.data)
    _configure_log(settings.log_level)
    listening = _listen(settings)
    # The server hands a signal it was stopped by on to whoever listened before: then leave in order, not by default.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    hub = build(settings)
    try:
        code = hub.setup_code()
        port = listening.getsockname()[1]
        config = uvicorn.Config(hub.app, log_config=None, access_log=False, lifespan="on", server_header=False)
        _Server(config, lambda: _announce(hub, settings, port, code, options.ready_file)).run([listening])
    finally:
        hub.close()
    return 0


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise UnavailableError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}.",
            hint="Stop what uses it, or choose another with --port.",
            code="port-in-use",
        ) from error
    return listening


def _announce(hub: Hub, settings: Settings, port: int, code: str | None, ready_file: Path | None) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = settings.public_url or f"http://{host}:{port}"
    lines = [f"Worklore serves at {url} on {hub.database.dialect}.", f"API reference: {url}/api/docs"]
    if code:
        lines += [f"Set-up code (once, within 30 minutes): {code}", "Next, on the machine where your agent works:"]
        lines += [f"  worklore connect {url} --code {code}"]
    else:
        lines += ["To connect another machine, run `worklore code` on a connected one."]
    print("\n".join(lines), flush=True)  # noqa: T201 - a command's answer
    if ready_file is not None:
        unfinished = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps({"url": url, "pid": os.getpid(), "setup_code": code}))
        unfinished.replace(ready_file)


def _code(_: argparse.Namespace) -> int:
    from worklore.identity.sign_in import first_user, new_code  # noqa: PLC0415 - one command in four needs it

    hub = build(load())
    try:
        key = hub.gateway.authenticator.key
        made = hub.database.write(lambda ctx: new_code(ctx, key, first_user(ctx)))
    finally:
        hub.close()
    print(made.code)  # noqa: T201 - a command's answer
    return 0


def _config(options: argparse.Namespace) -> int:
    rows = describe(load())
    if options.json:
        print(json.dumps(rows, indent=2))  # noqa: T201 - a command's answer
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:{width}}  {row['value'] or '-'}  ({row['source']})")  # noqa: T201 - a command's answer
    return 0


def _db(options: argparse.Namespace) -> int:
    database = Database(load().url)
    try:
        backup = migrate.upgrade(database) if options.task == "upgrade" else None
        found = migrate.state(database)
    finally:
        database.close()
    facts = {"current": found.current, "needed": found.needed, "backup": str(backup) if backup else None}
    standing = "up to date" if found.is_current else f"at {found.current}, this version needs {found.needed}"
    print(json.dumps(facts) if options.json else f"The schema is {standing}.")  # noqa: T201 - a command's answer
    return 0 if found.is_current else 1


def _bench_recall(options: argparse.Namespace) -> int:
    from worklore.memory.bench import table  # noqa: PLC0415 - one command needs it
    from worklore.ops.bench import bench_recall  # noqa: PLC0415 - one command needs it

    result = bench_recall(options.folder, options.database_url or load().url)
    print(json.dumps(result, indent=2) if options.json else table(result))  # noqa: T201 - a command's answer
    return 0


def _openapi(_: argparse.Namespace) -> int:
    from worklore.app import openapi_document  # noqa: PLC0415 - only here

    print(json.dumps(openapi_document(), indent=1, sort_keys=True))  # noqa: T201 - a command's answer
    return 0


def _catalog(_: argparse.Namespace) -> int:
    from worklore.resources import CATALOG  # noqa: PLC0415 - only here
    from worklore.surfaces.catalog import catalog_text  # noqa: PLC0415 - only here

    print(catalog_text(CATALOG), end="")  # noqa: T201 - a command's answer
    return 0
