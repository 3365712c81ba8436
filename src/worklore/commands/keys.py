"""``worklore keys``: the keys of the vault, from the first to the one that follows it."""

import argparse
import io
import json
import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from worklore.app import keyring
from worklore.kernel.access import SYSTEM
from worklore.kernel.errors import ConflictError
from worklore.kernel.settings import load
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, migrate
from worklore.ops.sealed_file import SealedReader, SealedWriter, read_head, read_secret
from worklore.resources import HOLDERS
from worklore.vault import rekeying, rotation
from worklore.vault.hierarchy import register
from worklore.vault.keyring import Keyring, add_to_keyring, new_key, parse, write_keyring
from worklore.vault.keys import KeyState
from worklore.vault.opening import live_nodes, vault_on
from worklore.vault.seal import VAULT

KIT: Any = {"kind": "recovery-kit"}

INSTALLATION: Final = "installation"
"""Stands for a client's id where the installation's own secrets are meant."""

Facts = dict[str, Any]
Task = Callable[[Database, Keyring, argparse.Namespace], tuple[Facts, str, int]]
"""What a task found, the same in words, and the exit code."""


def add(commands: Any) -> None:
    """What the command takes."""
    tasks = commands.add_parser(
        "keys", help="make, change and back up the keys of the vault; the hub is stopped on SQLite"
    ).add_subparsers(required=True, metavar="TASK", dest="task")
    generate = tasks.add_parser("generate", help="print a new entry for a keyring; nothing else knows it")
    generate.add_argument("--file", type=Path, help="write it into a new file instead (mode 600)")
    generate.set_defaults(run=run_generate)

    def task(name: str, work: Task, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = tasks.add_parser(name, help=text)
        made.add_argument("--json", action="store_true", help="print JSON and nothing else")
        made.set_defaults(run=partial(run, work=work))
        return made

    task("status", _status, "what keys there are and what they wrap; exit code 1 when the active one is not at hand")
    added = task("add", _add, "make a further key known to the database; a new one, unless its id is named")
    added.add_argument("key", nargs="?", metavar="ID", help="a key that the keyring holds already")
    promoted = task("promote", _promote, "let a key wrap what is new; refused while a running hub lacks it")
    promoted.add_argument("key", metavar="ID")
    rewrapped = task("rewrap", _rewrap, "wrap all client keys by the active key; may be ended and run again")
    rewrapped.add_argument(
        "--deep", action="store_true", help="make new client keys and seal every secret anew, for a key that was seen"
    )
    rewrapped.add_argument(
        "--client", type=_owner, metavar="ID", help="with --deep: of this client alone, or of the `installation`"
    )
    retired = task("retire", _retire, "say that a key is needed no more; refused while it wraps anything")
    retired.add_argument("key", metavar="ID")
    for name, work, text in (
        ("export-kit", _export_kit, "write all keys into a file that a passphrase opens"),
        ("verify-kit", _verify_kit, "see that a kit holds the keys of this database; exit code 1 when not"),
        ("restore-kit", _restore_kit, "write the keyring anew from a kit, where there is none"),
    ):
        kit = task(name, work, text)
        kit.add_argument("file", type=Path, metavar="FILE")
        kit.add_argument("passphrase_file", type=Path, metavar="PASSPHRASE-FILE", help="a file of mode 600")


def _owner(text: str) -> uuid.UUID | str:
    return text if text == INSTALLATION else uuid.UUID(text)


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer


def _tell(done: int) -> None:
    print(f"{done} rewrapped", file=sys.stderr, flush=True)  # noqa: T201 - progress, beside the answer


def _tell_values(done: int) -> None:
    print(f"{done} sealed anew", file=sys.stderr, flush=True)  # noqa: T201 - progress, beside the answer


def run_generate(options: argparse.Namespace) -> int:
    """Print a new entry, or write it."""
    key = new_key()
    if options.file is None:
        _say(key.line())
        return 0
    write_keyring(options.file, [key])
    _say(f"The key {key.id} (fingerprint {key.fingerprint}) is in {options.file}.")
    return 0


def run(options: argparse.Namespace, *, work: Task) -> int:
    """Carry out the task on the database of the settings."""
    settings = load()
    database = Database(settings.url)
    try:
        migrate.require(database)
        audit_chain.join(database, settings.data)
        facts, text, code = work(database, keyring(settings), options)
    finally:
        database.close()
    _say(json.dumps(facts) if options.json else text)
    return code


def _status(database: Database, keys: Keyring, _: argparse.Namespace) -> tuple[Facts, str, int]:
    with database.read(SYSTEM) as ctx:
        found = rotation.standings(ctx, keys)
        # SQLite is ours alone while we have it open.
        nodes = [] if database.is_sqlite else live_nodes(ctx)
        listed = [{"name": node.name, "fingerprints": node.key_fingerprints} for node in nodes]
    unknown = [key.id for key in keys if key.id not in {row.key_id for row in found}]
    lines = [f"Keyring: {keys.source}, {len(keys)} in it."]
    lines += [
        f"{row.key_id}  {row.fingerprint}  {row.state}, wraps {row.rows}, "
        + ("at hand" if row.proven else "ANOTHER KEY IS GIVEN UNDER THIS ID" if row.given else "not at hand")
        for row in found
    ]
    lines += [f"{key_id}  not known to the database" for key_id in unknown]
    lines += [f"Hub {node['name']} has {', '.join(node['fingerprints']) or 'no key'}." for node in listed]
    wrong = any(row.given and not row.proven for row in found)
    active = next((row for row in found if row.state is KeyState.active), None)
    code = 1 if wrong or active is None or not active.proven else 0
    facts = {"source": keys.source, "keys": [asdict(row) for row in found], "unknown": unknown, "nodes": listed}
    return facts, "\n".join(lines), code


def _add(database: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    if options.key is not None:
        key = keys.require(options.key)
    elif keys.file is None or not keys:
        raise ConflictError(
            f"A new key cannot be written into {keys.source}.",
            hint="Make one with worklore keys generate, put it there, and add it by its id.",
            code="vault-key-state",
        )
    else:
        key = new_key()
        add_to_keyring(keys.file, [key])
    with database.read(SYSTEM) as ctx:
        known = {row.key_id: row for row in rotation.standings(ctx, keys)}
    if key.id in known:
        raise ConflictError(f"The key {key.id} is known: it is {known[key.id].state}.", code="vault-key-state")
    database.write(lambda ctx: register(ctx, key, KeyState.added).id)
    text = (
        f"The key {key.id} (fingerprint {key.fingerprint}) is added. Put it into the keyring of every hub on this "
        f"database, start them again, then: worklore keys promote {key.id}"
    )
    return {"key_id": key.id, "fingerprint": key.fingerprint, "state": KeyState.added}, text, 0


def _promote(database: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    key = keys.require(options.key)
    database.write(lambda ctx: rotation.promote(ctx, key, [] if database.is_sqlite else live_nodes(ctx)).id)
    text = f"The key {key.id} wraps what is new. Next: worklore keys rewrap, and a new recovery kit."
    return {"key_id": key.id, "state": KeyState.active}, text, 0


def _rewrap(database: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    if options.deep:
        return _rekey(database, keys, options)
    if options.client is not None:
        raise ConflictError("--client goes with --deep.", hint="Give both.", code="vault-key-state")
    done = rotation.rewrap(database, keys, (lambda _: None) if options.json else _tell)
    lines = [f"{done.rewrapped} client keys are rewrapped."]
    lines += [f"The client key {key} does not open; it stays as it is." for key in done.unreadable]
    facts = {"rewrapped": done.rewrapped, "unreadable": [str(key) for key in done.unreadable]}
    return facts, "\n".join(lines), 1 if done.unreadable else 0


def _rekey(database: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    with database.read(SYSTEM) as ctx:
        database.provide(VAULT, vault_on(ctx, keys))
    owners = rekeying.owners(database)
    if options.client is not None:
        owners = [owner for owner in owners if (owner or INSTALLATION) == options.client]
    done = rekeying.rekey(database, HOLDERS, owners, (lambda _: None) if options.json else _tell_values)
    lines = [f"{done.clients} client keys are new, {done.values} secrets are sealed anew."]
    lines += [
        f"{place.table} {place.record_id} {place.field} does not open; its former key stays."
        for place in done.unreadable
    ]
    shut = [{"table": place.table, "record": str(place.record_id), "field": place.field} for place in done.unreadable]
    facts = {"clients": done.clients, "values": done.values, "unreadable": shut}
    return facts, "\n".join(lines), 1 if done.unreadable else 0


def _retire(database: Database, _: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    database.write(lambda ctx: rotation.retire(ctx, options.key).id)
    text = f"The key {options.key} is retired. Keep it in a recovery kit while you keep backups made before."
    return {"key_id": options.key, "state": KeyState.retired}, text, 0


# --- recovery kits --------------------------------------------------------------------------------------------------


def _export_kit(_: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    if not keys:
        raise ConflictError(f"{keys.source} holds no key.", hint="Start the hub once.", code="vault-key-state")
    prints = [key.fingerprint for key in keys]
    secret = read_secret(options.passphrase_file)
    try:
        kit = SealedWriter(options.file, KIT | {"fingerprints": prints}, secret)
    except FileExistsError as error:
        raise ConflictError(
            f"{options.file} exists already.", hint="Name another file.", code="keyring-exists"
        ) from error
    with kit:
        kit.write("".join(f"{key.line()}\n" for key in keys).encode())
        kit.finish()
    text = (
        f"{options.file} holds {len(keys)} keys. Take it and its passphrase to two other places, then: "
        f"worklore keys verify-kit {options.file}"
    )
    return {"file": str(options.file), "fingerprints": prints}, text, 0


def _read_kit(options: argparse.Namespace) -> Keyring:
    read_head(options.file)
    text = io.BytesIO()
    with SealedReader(options.file, read_secret(options.passphrase_file)) as kit:
        if kit.head.get("kind") != KIT["kind"]:
            raise ConflictError(
                f"{options.file} is a backup, no recovery kit.", hint="Name a kit.", code="vault-key-state"
            )
        shutil.copyfileobj(kit, text)
    return Keyring(parse(text.getvalue().decode("ascii"), str(options.file)), str(options.file))


def _verify_kit(database: Database, _: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    kit = _read_kit(options)
    with database.read(SYSTEM) as ctx:
        found = [row for row in rotation.standings(ctx, kit) if row.state is not KeyState.retired]
    missing = [row.key_id for row in found if not row.proven]
    held = [row.key_id for row in found if row.proven]
    facts = {"verified": not missing, "keys": held, "missing": missing}
    if missing:
        return facts, f"{options.file} does not hold {', '.join(missing)}: make a new kit.", 1
    return facts, f"{options.file} opens, and holds every key of this database: {', '.join(held)}.", 0


def _restore_kit(_: Database, keys: Keyring, options: argparse.Namespace) -> tuple[Facts, str, int]:
    kit = _read_kit(options)
    if keys.file is None:
        raise ConflictError(
            f"The keys come from {keys.source}, not from a file.",
            hint="Unset it, or set WORKLORE_VAULT_KEYRING.",
            code="vault-key-sources",
        )
    write_keyring(keys.file, kit)
    text = f"{keys.file} holds {len(kit)} keys. See whether they fit: worklore keys status"
    return {"file": str(keys.file), "fingerprints": [key.fingerprint for key in kit]}, text, 0
