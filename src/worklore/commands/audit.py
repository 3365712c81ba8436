"""``worklore audit``: see that the change audit is what was written, and read it."""

import argparse
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import inspect, select

# Every table, so that every sealed field is known.
import worklore.resources  # noqa: F401  # pyright: ignore[reportUnusedImport]
from worklore.identity.keys import HubKey, load_key
from worklore.kernel.audit import EPOCH, AuditEntry
from worklore.kernel.db import database_url
from worklore.kernel.errors import UnavailableError
from worklore.kernel.settings import Settings, load
from worklore.kernel.transaction import Database
from worklore.kernel.types import iso, wire_value
from worklore.ops import migrate
from worklore.ops.audit_chain import CHECKPOINT_FILE, ENTRY, KEY_FILE, Checkpoint, accept, join, of_file, streamed
from worklore.ops.audit_findings import Break
from worklore.ops.audit_grants import statements
from worklore.ops.audit_prune import prune
from worklore.ops.audit_verify import State, Verdict, verify
from worklore.ops.dump import looking

CODES: Final = {State.intact: 0, State.broken: 1, State.incomplete: 2}
SHOWN: Final = 10


def add(commands: Any) -> None:
    """What the command takes."""
    audit = commands.add_parser("audit", help="verify the change audit, and read it; the hub may run")
    tasks = audit.add_subparsers(required=True, metavar="TASK")
    check = tasks.add_parser("verify", help="exit code 0 intact, 1 broken, 2 incomplete: a key or entries are missing")
    check.add_argument(
        "--from", type=_number, default=1, metavar="N", dest="first", help="trust what is before entry N"
    )
    check.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="FILE", help="kept elsewhere")
    check.add_argument("--key", type=Path, action="append", default=[], metavar="FILE", help="a former hub.key")
    check.add_argument("--rows", action="store_true", help="also compare sealed fields with what was last written")
    check.add_argument("--sample", type=_number, metavar="N", help="with --rows: N rows of each table, at random")
    check.add_argument("--json", action="store_true", help="print JSON and nothing else")
    check.set_defaults(run=_verify)
    cut = tasks.add_parser("prune", help="hand out the entries from before a day, then take them away")
    cut.add_argument("--before", type=_day, required=True, metavar="DATE", help="such as 2025-01-01, in UTC")
    cut.add_argument("--export", type=Path, required=True, metavar="FILE", help="a new file, which gets the entries")
    cut.set_defaults(run=_prune)
    accept = tasks.add_parser("accept-key", help="go on with the present hub.key, as the one before is lost for good")
    accept.set_defaults(run=_accept)
    grants = tasks.add_parser("grants", help="print what gives a database user what a hub needs, and no more")
    grants.add_argument("user", type=_user, help="hub, or hub@192.0.2.7 on MariaDB")
    grants.set_defaults(run=_grants)
    history = tasks.add_parser("history", help="what was done to a record, the oldest first")
    history.add_argument("record", type=uuid.UUID, help="the record's id")
    history.set_defaults(run=_history)
    export = tasks.add_parser("export", help="print all entries, with their chains, as JSON lines")
    export.set_defaults(run=_export)


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), clock.min, UTC)
    except ValueError:
        raise argparse.ArgumentTypeError("a day, such as 2025-01-01") from None


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer


# --- verify ---------------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace) -> int:
    settings = load()
    keys = _keys(settings, options.key)
    kept = [settings.data / CHECKPOINT_FILE] if (settings.data / CHECKPOINT_FILE).exists() else []
    outside = chain.from_iterable(map(_checkpoints, (*kept, *options.checkpoint)))
    rows = options.rows or options.sample is not None
    with looking(database_url(settings.url)) as connection:
        verdict = verify(connection, keys, outside, first=options.first, rows=rows, sample=options.sample)
    if options.json:
        _say(verdict.model_dump_json(indent=2))
    else:
        _say("\n".join(_told(verdict)))
    return CODES[verdict.state]


def _keys(settings: Settings, former: list[Path]) -> list[HubKey]:
    own = settings.data / KEY_FILE
    return [load_key(file, create=False) for file in (*([own] if own.exists() else []), *former)]


def _checkpoints(file: Path) -> Iterator[Checkpoint]:
    try:
        yield from of_file(file)
    except OSError as error:
        raise UnavailableError(f"{file} cannot be read: {error.strerror}.", hint="Name another file.") from error


def _told(verdict: Verdict) -> list[str]:
    lines: list[str] = []
    lines.append(
        f"The change audit is {verdict.state}: {verdict.records:,} entries in {verdict.chains} chains, "
        f"{verdict.unchained:,} from before, {verdict.checkpoints:,} checkpoints "
        f"({verdict.seconds:.1f} s, {verdict.per_second:,} rows a second)."
    )
    lines.append(
        f"Compared with it: {verdict.touches:,} touches of secrets, {verdict.requests:,} requests, "
        f"{verdict.sealed:,} rows with sealed fields."
    )
    lines += [f"{verdict.cut:,} entries were handed out and taken away before."] if verdict.cut else []
    undigested = f"{verdict.undigested:,} sealed fields were written before digests were kept and were not compared."
    lines += [undigested] if verdict.undigested else []
    lines += [f"Broken, {broken.field}: {broken.why} ({_where(broken)})." for broken in verdict.breaks[:SHOWN]]
    lines += [f"Missing: {what}." for what in verdict.missing[:SHOWN]]
    more = max(len(verdict.breaks) - SHOWN, 0) + max(len(verdict.missing) - SHOWN, 0)
    lines += [f"And {more} more; --json tells all."] if more else []
    if verdict.earlier_lives:
        lines.append(f"{verdict.earlier_lives:,} checkpoints from before a restore were not compared.")
    return lines


def _prune(options: argparse.Namespace) -> int:
    settings = load()
    database = Database(settings.url)
    try:
        migrate.require(database)
        key = join(database, settings.data)
        if key is None:
            raise UnavailableError("No hub has begun the audit's chains yet.", hint="Start the hub once.")
        file = settings.data / CHECKPOINT_FILE
        kept = _checkpoints(file) if file.exists() else ()
        try:
            done = prune(database, key, kept, options.before, options.export)
        except FileExistsError as error:
            raise UnavailableError(f"{options.export} is there already.", hint="Name a new file.") from error
        except OSError as error:
            why = error.strerror or error
            raise UnavailableError(f"{options.export} cannot be written: {why}.", hint="Name another file.") from error
    finally:
        database.close()
    _say(f"{done.entries:,} entries of {done.chains} chains and {done.rows:,} touches are in {options.export} now.")
    _say(f"Its SHA-256: {done.sha256}")
    return 0


def _accept(_: argparse.Namespace) -> int:
    settings = load()
    database = Database(settings.url)
    try:
        migrate.require(database)
        key = load_key(settings.data / KEY_FILE, create=True)
        made = accept(database, key, settings.data)
    finally:
        database.close()
    if made is None:
        raise UnavailableError("No hub has begun on this database yet.", hint="Start the hub once.")
    _say(
        f"The audit goes on with the key {key.key_id}. Machines raise an alarm, and tokens of the former key are void."
    )
    return 0


def _user(text: str) -> tuple[str, str]:
    name, _, host = text.partition("@")
    if not re.fullmatch(r"\w{1,63}", name) or not re.fullmatch(r"[\w.:%-]*", host):
        raise argparse.ArgumentTypeError("a name, and on MariaDB @ and a host")
    return name, host


def _grants(options: argparse.Namespace) -> int:
    url = database_url(load().url)
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        raise UnavailableError("SQLite has no users; its file has an owner.", hint="See docs/operations/audit.md.")
    name, host = options.user
    user = f'"{name}"' if dialect == "postgresql" else f"'{name}'@'{host or '%'}'"
    with looking(url) as connection:
        for statement in statements(dialect, inspect(connection).get_table_names(), user):
            _say(f"{statement};")
    return 0


def _where(broken: Break) -> str:
    """``audit_log, chain a.0.b, entry 7, 0199...``, as far as it is known."""
    chain_, seq = broken.chain and f"chain {broken.chain}", broken.seq is not None and f"entry {broken.seq}"
    return ", ".join(part for part in (broken.table, chain_, seq, broken.id) if part)


# --- reading --------------------------------------------------------------------------------------------------------


def _history(options: argparse.Namespace) -> int:
    rows = select(*ENTRY).where(AuditEntry.record_id == options.record).order_by(AuditEntry.at, AuditEntry.id)
    found = 0
    with looking(database_url(load().url)) as connection:
        for row in streamed(connection, rows):
            found += 1
            who = f"{row['actor']} for {row['on_behalf_of']}" if row["on_behalf_of"] else row["actor"]
            why = f": {row['message']}" if row["message"] else ""
            _say(f"{_moment(row['at'])}  {row['action']} {row['table_name']} by {who}{why}")
            for name, change in json.loads(row["changed"]).items():
                _say(f"    {name}: {_change(change)}")
    if not found:
        print(f"worklore: nothing is recorded of {options.record}.", file=sys.stderr)  # noqa: T201 - beside the answer
    return 0 if found else 1


def _change(change: Any) -> str:
    """``["old", "new"]`` with an arrow between."""
    match change:
        case [old, new]:
            return f"{json.dumps(old, ensure_ascii=False)} -> {json.dumps(new, ensure_ascii=False)}"
        case _:
            return json.dumps(change, ensure_ascii=False)


def _moment(micros: int) -> str:
    return iso(EPOCH + timedelta(microseconds=micros))


def _export(_: argparse.Namespace) -> int:
    with suppress(BrokenPipeError), looking(database_url(load().url)) as connection:
        for row in streamed(connection, select(*ENTRY, AuditEntry.mac).order_by(AuditEntry.id)):
            facts = {name: wire_value(value) for name, value in row.items()}
            facts["changed"] = orjson.Fragment(row["changed"])
            sys.stdout.buffer.write(orjson.dumps(facts) + b"\n")
        sys.stdout.flush()
        return 0
    # Whoever read has enough; nothing may be written at the end of this process either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
