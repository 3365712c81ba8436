"""``worklore hub``: look after a hub that is not running."""

import argparse
from typing import Any

from worklore.app import build
from worklore.identity.sign_in import first_user, new_code
from worklore.kernel.settings import load


def add(commands: Any) -> None:
    """What the command takes."""
    hub = commands.add_parser("hub", help="look after a hub that is not running").add_subparsers(
        required=True, metavar="TASK"
    )
    code = hub.add_parser("code", help="print a one-time code for a machine of the owner")
    code.set_defaults(run=print_code)


def print_code(_: argparse.Namespace) -> int:
    """Print a new one-time code of the owner."""
    hub = build(load())
    try:
        key = hub.gateway.authenticator.key
        made = hub.database.write(lambda ctx: new_code(ctx, key, first_user(ctx)))
    finally:
        hub.close()
    print(made.code)  # noqa: T201 - a command's answer
    return 0
