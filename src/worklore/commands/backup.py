"""``worklore backup``: make, list, verify and restore backups of the hub's database."""

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL

from worklore.kernel.db import database_url
from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.kernel.settings import Settings, load
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain
from worklore.ops.backup import BackupType, VerificationStatus
from worklore.ops.backup_note import Backup, described, found
from worklore.ops.backups import check, make, record
from worklore.ops.restore import restore
from worklore.ops.sealed_file import SHORTEST, read_head, read_secret

MEGABYTE: Final = 1_000_000


def add(commands: Any) -> None:
    """What the command takes."""
    command = commands.add_parser(
        "backup",
        help="make, list, verify and restore backups of the hub's database",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = command.add_subparsers(required=True, metavar="TASK")
    making = tasks.add_parser("create", help="make a backup, also while the hub runs")
    making.add_argument("--type", choices=list(BackupType), default=BackupType.manual, help="why it is made (manual)")
    making.add_argument("--encrypt", action="store_true", help="ask for a passphrase, or use WORKLORE_BACKUP_KEY_FILE")
    making.add_argument("--verify", action="store_true", help="restore it into a scratch database and compare")
    listing = tasks.add_parser("list", help="show the backups in the folder, newest first")
    for task in (making, listing):
        task.add_argument("--folder", type=Path, help="the folder of backups (WORKLORE_BACKUP_FOLDER)")
    verifying = tasks.add_parser("verify", help="restore a backup into a scratch database and compare")
    restoring = tasks.add_parser("restore", help="put a backup in the place of a database, which is kept")
    restoring.add_argument("--to", metavar="URL", help="the database to replace (WORKLORE_DATABASE_URL)")
    restoring.add_argument("--yes", action="store_true", help="do not ask")
    for task in (verifying, restoring):
        task.add_argument("file", type=Path)
    for task in (making, verifying):
        task.add_argument("--database-url", help="the database, or one on the same server (WORKLORE_DATABASE_URL)")
    runs = ((making, _create), (listing, _list), (verifying, _verify), (restoring, _restore))
    for task, run in runs:
        task.add_argument("--json", action="store_true", help="print JSON and nothing else")
        task.set_defaults(run=run)
    command.epilog = "\n".join(task.format_usage().removeprefix("usage: ") for task, _ in runs)


def _create(options: argparse.Namespace) -> int:
    settings = load(database_url=options.database_url)
    url, folder = database_url(settings.url), _folder(settings, options)
    secret = _new_secret(settings, asked=options.encrypt)
    path = make(url, folder, type=BackupType(options.type), encrypt=secret, told=_Progress())
    if options.verify:
        check(path, url, secret, told=_Progress())
    logged = _logged(url, folder)
    backup = described(path)
    _print(options, _facts(path, backup) | {"logged": logged}, _line(path, backup))
    if not logged and not options.json:
        _say("The running hub enters it into its log within a minute.")
    return _code(backup)


def _logged(url: URL, folder: Path) -> bool:
    """Enter it into the log, unless a hub has the SQLite file: then that hub does."""
    try:
        database = Database(url)
    except UnavailableError as error:
        if error.code != "database-in-use":
            raise
        return False
    try:
        audit_chain.join(database, load().data)
        record(database, folder)
    finally:
        database.close()
    return True


def _list(options: argparse.Namespace) -> int:
    folder = _folder(load(), options)
    backups = found(folder)
    if options.json:
        _say(json.dumps([_facts(path, backup) for path, backup in backups.items()], indent=2))
        return 0
    for path, backup in backups.items():
        _say(_line(path, backup))
    if not backups:
        _say(f"There are no backups in {folder}.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    settings = load(database_url=options.database_url)
    url = database_url(settings.url)
    backup = check(options.file, url, _known_secret(settings, options.file), told=_Progress())
    if options.file.absolute().parent == settings.backups.absolute():
        _logged(url, settings.backups)
    _print(options, _facts(options.file, backup), _line(options.file, backup))
    for line in (backup.details or {}).get("differences", []):
        print(line, file=sys.stderr)  # noqa: T201 - why it failed, beside the answer
    return _code(backup)


def _restore(options: argparse.Namespace) -> int:
    settings = load(database_url=options.to)
    url = database_url(settings.url)
    secret = _known_secret(settings, options.file)
    if not options.yes:
        _confirm(f"Put {options.file} in the place of {url.render_as_string()}? What is there now is kept. [y/N] ")
    done = restore(options.file, url, secret, _Progress())
    text = f"Restored {done.rows} rows in {done.tables} tables to {done.database}."
    if done.kept:
        text += f"\nWhat was there is kept as {done.kept}; delete it when you no longer need it."
    _print(options, done.model_dump(mode="json"), text)
    return 0


# --- passphrases ----------------------------------------------------------------------------------------------------


def _new_secret(settings: Settings, *, asked: bool) -> bytes | None:
    if settings.backup_key_file is not None:
        return read_secret(settings.backup_key_file)
    if not asked:
        return None
    secret = _ask("Passphrase: ")
    if len(secret) < SHORTEST:
        raise InvalidError(f"The passphrase is shorter than {SHORTEST} characters.", hint="Make a longer one.")
    if _ask("The same again: ") != secret:
        raise InvalidError("The two are not the same.", hint="Try again.")
    return secret


def _known_secret(settings: Settings, path: Path) -> bytes | None:
    if not read_head(path).get("encryption"):
        return None
    return read_secret(settings.backup_key_file) if settings.backup_key_file is not None else _ask("Passphrase: ")


def _ask(text: str) -> bytes:
    if not sys.stdin.isatty():
        raise InvalidError("There is no terminal to ask for the passphrase on.", hint="Set WORKLORE_BACKUP_KEY_FILE.")
    return getpass.getpass(text).strip().encode()


def _confirm(text: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidError("There is no terminal to ask on whether you mean it.", hint="Say so with --yes.")
    if input(text).strip().lower() not in {"y", "yes"}:
        raise InvalidError("Nothing was changed.")


# --- answers --------------------------------------------------------------------------------------------------------


class _Progress:
    """One line on a terminal that says what is being done; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = ""

    def __call__(self, what: str, done: int) -> None:
        line = f"{what} {done // MEGABYTE} MB" if done else what
        if self._shown and line != self._last:
            print(f"\r{line:<40}\r", end="", file=sys.stderr, flush=True)  # noqa: T201 - progress, beside the answer
            self._last = line


def _folder(settings: Settings, options: argparse.Namespace) -> Path:
    folder: Path = options.folder or settings.backups
    return folder.absolute()


def _facts(path: Path, backup: Backup) -> dict[str, Any]:
    return {"file": str(path)} | backup.model_dump(mode="json")


def _line(path: Path, backup: Backup) -> str:
    size = f"{backup.size_bytes / MEGABYTE:.1f} MB"
    kind = "encrypted" if backup.encrypted else "readable"
    when = f"{backup.started_at:%Y-%m-%d %H:%M:%S}Z"
    return f"{when}  {backup.backup_type:13}  {size:>10}  {kind:9}  {backup.status:12}  {path}"


def _code(backup: Backup) -> int:
    return 1 if backup.status is VerificationStatus.failed else 0


def _print(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    _say(json.dumps(facts, indent=2) if options.json else text)


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer
