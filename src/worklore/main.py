"""The hub's own commands, run on the machine the hub runs on."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from worklore.commands.log import configure_log
from worklore.kernel.errors import HubError

COMMANDS: Final = {
    "serve": "serve",
    "hub": "hub",
    "config": "config",
    "db": "database",
    "backup": "backup",
    "keys": "keys",
    "vault": "vault",
    "audit": "audit",
    "memory": "memory",
    "bench": "bench",
    "demo-data": "demo_data",
    "import": "import_",
    "openapi": "documents",
    "catalog": "documents",
}
"""Each command and the module it is in; only the module of the command that runs is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. An error the operator can mend is one line and code 2."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(given[0] if given else "").parse_args(given)
    configure_log("warning")
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except HubError as error:
        print(f"worklore: {error.detail} {error.hint or ''}".rstrip(), file=sys.stderr)  # noqa: T201 - a command's answer
        return 2


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worklore", description="The hub's own commands.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    wanted = [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values())
    # Nothing that is imported becomes garbage: looking for it again and again takes a sixth of the start.
    gc.disable()
    for module in wanted:
        import_module(f"worklore.commands.{module}").add(commands)
    gc.freeze()
    gc.enable()
    return parser
