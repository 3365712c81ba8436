"""Writing while the hub may not answer: into the spool first, then into the journal and what is kept of the hub's."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worklore_client import cache, journal, operations, syncing
from worklore_client.config import Config
from worklore_client.events import log
from worklore_client.identity import identity
from worklore_client.operations import Operation, Spooled

IDENTIFY = "projects/identify"


def keep(config: Config, operation: Operation, kind: str = "", record: Mapping[str, Any] | None = None) -> Spooled:
    """Spool an operation; `record` is how it leaves a record of `kind` that is read here meanwhile.

    Raises what `operations.add` raises: then nothing was kept. The other two are copies, and may fail.
    """
    spooled = operations.add(config.home, operation)
    journal.note(config.home, operation.folder, spooled.operation.about)
    if record is not None:
        try:
            with cache.writing(config) as writer:
                held = writer.project(identity(operation.folder, config.home / "roots.json"))
                if held is not None:
                    writer.put(held, kind, {**record, "waiting": operation.key})
        except (OSError, sqlite3.Error) as error:
            log(str(config.home), "write", syncing.code_of(error))
    return spooled


def project_of(config: Config, folder: str) -> str:
    """The id of a folder's project, or what stands for it until the hub has told it."""
    reader = cache.reading(config)
    about = identity(folder, config.home / "roots.json")
    try:
        held = reader.project(about) if reader is not None else None
    except sqlite3.Error:
        held = None
    finally:
        if reader is not None:
            reader.close()
    if held is not None:
        return held.id
    for path in operations.waiting(config.home):
        known = operations.read(config.home, path)
        if known is not None and known.operation.path == IDENTIFY and known.operation.body == about:
            return f"{{op:{known.operation.key}}}"
    asked = Operation("POST", IDENTIFY, about, about=f"project of {Path(folder).name}", folder=folder)
    return f"{{op:{operations.add(config.home, asked).operation.key}}}"


def resolve(config: Config, conflict: Spooled, choice: str) -> Spooled | None:
    """Decide about a conflict: `mine` is offered again over what stands on the hub now, `theirs` is given up.

    ValueError where mine cannot be offered: the hub did not say what it stands against.
    """
    if choice == "theirs":
        operations.drop(conflict)
        return None
    operation = conflict.operation
    version: Any = (conflict.current or {}).get("version")
    if operation.if_match is not None and not isinstance(version, int):
        raise ValueError("the hub did not say which version stands there now; read the record and change it anew")
    again = Operation(
        operation.method,
        operation.path,
        operation.body,
        operation.about,
        operation.folder,
        version,
        message=operation.message,
    )
    spooled = operations.add(config.home, again)
    operations.drop(conflict)
    return spooled


def told(body: Any) -> str:
    """A body in a few words, for lists of what waits."""
    text = json.dumps(body, ensure_ascii=False)
    return text if len(text) <= 120 else text[:119] + "…"  # noqa: PLR2004 - a line stays a line
