"""``worklore vault``: see that every sealed secret opens."""

import argparse
import json
from typing import Any, Final

from worklore.app import keyring
from worklore.commands import progress
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditedSession
from worklore.kernel.context import ReadContext
from worklore.kernel.db import database_url
from worklore.kernel.settings import load
from worklore.ops.dump import looking
from worklore.resources import HOLDERS
from worklore.vault.check import Checked, check
from worklore.vault.opening import vault_on
from worklore.vault.seal import VAULT

SHOWN: Final = 20


def add(commands: Any) -> None:
    """What the command takes."""
    vault = commands.add_parser("vault", help="see that every sealed secret opens; the hub may run")
    tasks = vault.add_subparsers(required=True, metavar="TASK")
    opened = tasks.add_parser(
        "check", help="open every sealed value; exit code 0 all open, 1 some do not, 2 the vault is sealed"
    )
    opened.add_argument("--json", action="store_true", help="print JSON and nothing else")
    opened.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    settings = load()
    keys = keyring(settings)
    with (
        looking(database_url(settings.url)) as connection,
        AuditedSession(connection, autoflush=False) as session,
        progress.shown("records", quiet=options.json) as told,
    ):
        ctx = ReadContext(session, SYSTEM)
        session.info[VAULT] = vault_on(ctx, keys)
        checked = check(ctx, HOLDERS, lambda done, total: told(done, total, ""))
    shut = [{"table": one.table, "record": str(one.record), "field": one.field} for one in checked.shut]
    facts = {"opens": not shut, "keys": checked.keys, "values": checked.values, "shut": shut}
    _say(json.dumps(facts, indent=2) if options.json else "\n".join(_told(checked)))
    return 1 if shut else 0


def _told(checked: Checked) -> list[str]:
    if not checked.shut:
        return [f"All open: {checked.values:,} sealed values under {checked.keys:,} client keys."]
    lines = [f"{len(checked.shut):,} of {checked.values:,} sealed values and {checked.keys:,} client keys do not open:"]
    lines += [f"{one.table} {one.record} {one.field}" for one in checked.shut[:SHOWN]]
    more = len(checked.shut) - SHOWN
    return [*lines, f"And {more:,} more; --json tells all."] if more > 0 else lines


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer
