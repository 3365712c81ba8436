"""The hub's own commands: they run in the hub's program, which this one never imports."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from worklore_cli.failure import Failure

_NEEDED = ("worklore", "fastapi", "sqlalchemy", "uvicorn")
START_SECONDS = 30.0
STOP_SECONDS = 10.0


def require_hub() -> None:
    """Failure when the hub is not installed beside this command."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            f"the hub is not installed here ({', '.join(missing)} missing): this is a client's installation",
            "Install it with: pip install 'worklore[hub]'",
        )


def run_hub(arguments: Sequence[str]) -> int:
    """Become the hub's program with these arguments; returns only where a process cannot be replaced (Windows)."""
    require_hub()
    command = [sys.executable, "-m", "worklore", *arguments]
    sys.stdout.flush()
    if sys.platform != "win32":
        os.execv(sys.executable, command)  # noqa: S606 - our own program, no shell wanted
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own program


def add_command(app: typer.Typer, name: tuple[str, ...], text: str) -> None:
    """Add a command that hands its arguments to the hub's program, where it has the whole of this name."""

    def command(context: typer.Context) -> None:
        raise typer.Exit(run_hub([*name, *context.args]))

    passing: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(name[-1], help=text, rich_help_panel="On the hub's machine", context_settings=passing)(command)


@dataclass(frozen=True)
class RunningHub:
    """A hub that has said it is ready."""

    url: str
    setup_code: str


@contextmanager
def temporary_hub(folder: Path) -> Generator[RunningHub]:
    """A hub of its own on a free port with an SQLite file in `folder`; stopped at the end, whatever happens.

    Raises Failure with the end of its output when it does not come up.
    """
    require_hub()
    ready, output = folder / "ready.json", folder / "hub.log"
    command = [sys.executable, "-m", "worklore", "serve", "--port", "0", "--ready-file", str(ready)]
    command += ["--database-url", f"sqlite:///{folder / 'hub.db'}", "--data", str(folder)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKLORE_")}
    with output.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=environment
        )
    try:
        yield _when_ready(process, ready, output)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _when_ready(process: subprocess.Popen[bytes], ready: Path, output: Path) -> RunningHub:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            said = json.loads(ready.read_text(encoding="utf-8"))
            return RunningHub(str(said["url"]), str(said["setup_code"]))
        except (FileNotFoundError, ValueError):
            time.sleep(0.05)
    last = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    raise Failure(f"the hub did not start: {' | '.join(last) or 'it said nothing'}")
