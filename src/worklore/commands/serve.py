"""``worklore serve``: run the hub."""

import argparse
import json
import os
import resource
import signal
import socket
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn

from worklore.app import Hub, build
from worklore.commands.log import configure_log
from worklore.kernel.errors import UnavailableError
from worklore.kernel.settings import Settings, load

log = structlog.get_logger()


def add(commands: Any) -> None:
    """What the command takes."""
    serve = commands.add_parser("serve", help="run the hub; sets up an empty database first")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8420); 0 takes any free one")
    serve.add_argument("--database-url", help="sqlite:///path, mariadb://... or postgresql://...")
    serve.add_argument("--data", type=Path, help="folder of the database file and the hub's key")
    serve.add_argument("--ready-file", type=Path, help="write address and process id here as JSON once it serves")
    serve.add_argument("--upgrade", action="store_true", help="bring an older database up first, after a backup")
    serve.set_defaults(run=run)


class _Server(uvicorn.Server):
    """A server that says when it serves."""

    def __init__(self, config: uvicorn.Config, on_ready: Any) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    settings = load(host=options.host, port=options.port, database_url=options.database_url, data=options.data)
    configure_log(settings.log_level)
    _dump_no_core()
    listening = _listen(settings)
    # The server hands a signal it was stopped by on to whoever listened before: then leave in order, not by default.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    hub = build(settings, upgrade=options.upgrade)
    try:
        code = hub.setup_code()
        port = listening.getsockname()[1]
        config = uvicorn.Config(hub.app, log_config=None, access_log=False, lifespan="on", server_header=False)
        _Server(config, lambda: _announce(hub, settings, port, code, options.ready_file)).run([listening])
    finally:
        hub.close()
    return 0


def _dump_no_core() -> None:
    """A dump of this process's memory would hold keys and secrets."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:  # a sandbox may forbid it; the system service sets the limit itself
        log.info("core dumps could not be turned off", error=str(error))


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
    if hub.vault.made is not None:
        lines += [
            f"The vault's key was made: {hub.vault.made}. Copy it: worklore keys export-kit (with the hub stopped)."
        ]
    if hub.vault.refusal is not None:
        lines += [hub.vault.refusal().detail]
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
