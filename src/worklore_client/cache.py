"""What this machine keeps of the hub's for the time without it: ``cache.db``, for its owner alone.

It holds what agents read of the projects that are worked on here, as far as this machine's token may read it, and
nothing of a credential. It is a copy: what cannot be read is thrown away and fetched again. The flusher and `worklore
sync` write it, a few hundred milliseconds away from any hook; hooks and commands read it (`cached`).
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client.ask import FRESH_SECONDS
from worklore_client.cached import CLOSING, FILES, NAME, OPENING, SCHEMA, folder_keys, scope_of
from worklore_client.config import Config
from worklore_client.events import log
from worklore_client.spool import held_lock
from worklore_client.words import terms
from worklore_redact.values import redact_json

LIMIT_MB = 64
PAGE_BYTES = 4_096
LOCK_SECONDS = 5.0
FORBIDDEN = frozenset({"value", "value_encrypted", "secret", "password", "token", "credential_id"})
"""Members of records that are never kept, whatever a hub sends."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE projects (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, client TEXT, cursor TEXT,
    fetched REAL NOT NULL
);
CREATE TABLE folders (key TEXT PRIMARY KEY, project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE);
CREATE TABLE memories (
    number INTEGER PRIMARY KEY, project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE, id TEXT NOT NULL,
    seq INTEGER NOT NULL, kind TEXT NOT NULL, turn TEXT NOT NULL, author TEXT NOT NULL, machine TEXT NOT NULL,
    said_at TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (project, id)
);
CREATE TABLE terms (
    project INTEGER NOT NULL, term TEXT NOT NULL, memory INTEGER NOT NULL REFERENCES memories ON DELETE CASCADE,
    weight INTEGER NOT NULL, PRIMARY KEY (project, term, memory)
) WITHOUT ROWID;
CREATE INDEX terms_memory ON terms (memory);
CREATE TABLE texts (
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (project, kind)
);
CREATE TABLE records (
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE, kind TEXT NOT NULL, id TEXT NOT NULL,
    place INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (project, kind, id)
);
CREATE TABLE failures (
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE, place INTEGER NOT NULL, id TEXT NOT NULL,
    hosts TEXT NOT NULL, head TEXT NOT NULL, program INTEGER NOT NULL, words TEXT NOT NULL, least INTEGER NOT NULL,
    rights INTEGER NOT NULL, line TEXT NOT NULL
);
CREATE INDEX failures_project ON failures (project, place);
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """A project as it is held here. `fetched` in seconds since 1970; `client` is the id of its client."""

    number: int
    id: str
    name: str
    client: str | None
    cursor: str | None
    fetched: float


def forget(home: Path) -> bool:
    """Remove all that is kept; True when there was something."""
    found = False
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            (home / name).unlink()
            found = True
    return found


def is_fresh(home: Path) -> bool:
    """True where something was fetched so lately that no hook need have it fetched again."""
    try:
        return time.time() - (home / NAME).stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False


@contextlib.contextmanager
def writing(config: Config) -> Generator["Writer"]:
    """The cache, to be changed in one transaction. Made anew where it is torn or another's; a newer one is set aside.

    Raises OSError or sqlite3.Error when it cannot be written: then nothing has changed.
    """
    with held_lock(config.home, "cache", LOCK_SECONDS) as mine:
        if not mine:
            raise TimeoutError(f"{config.home / NAME} is being written by another process")
        link = _prepared(config)
        try:
            link.execute("BEGIN IMMEDIATE")
            yield Writer(link, config)
            link.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if _is_torn(error):
                link.close()
                log(str(config.home), "cache", "cache-torn")
                forget(config.home)
            raise
        finally:
            link.close()  # what was not committed is undone


def reading(config: Config) -> "Reader | None":
    """What is kept, for commands to read; None where nothing is, or it cannot be read."""
    path = config.home / NAME
    if not path.exists():
        return None
    address = f"{path.absolute().as_uri()}"
    for mode in ("?mode=ro", "?immutable=1"):
        link = None
        try:
            link = sqlite3.connect(address + mode, uri=True, timeout=1, isolation_level=None)
            if _is_ours(link, config):
                return Reader(link)
        except sqlite3.Error:
            if link is not None:
                link.close()
            continue
        link.close()
        return None
    return None


def _prepared(config: Config) -> sqlite3.Connection:
    path = config.home / NAME
    for attempt in (1, 2):
        link: sqlite3.Connection | None = None
        try:
            link = _opened(path, config)
            [version] = link.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                link.close()
                _set_aside(config.home, version)
                link = _opened(path, config)
                version = 0
            if version != SCHEMA or not _is_ours(link, config):
                if version:
                    link.close()
                    forget(config.home)
                    link = _opened(path, config)
                _make(link, config)
        except sqlite3.DatabaseError as error:
            if link is not None:
                link.close()
            if attempt == 2 or not _is_torn(error):  # noqa: PLR2004 - the second attempt finds none
                raise
            log(str(config.home), "cache", "cache-torn")
            forget(config.home)
        else:
            return link
    raise AssertionError("the second attempt returns or raises")


def _is_torn(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _opened(path: Path, config: Config) -> sqlite3.Connection:
    # Made by us first: what SQLite makes beside it then has the same rights.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    link = sqlite3.connect(path, timeout=2, isolation_level=None)
    pages = config.number("cache_mb", LIMIT_MB) * 1024 * 1024 // PAGE_BYTES
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", f"max_page_count = {pages}"):
        link.execute(f"PRAGMA {setting}").fetchall()
    return link


def _set_aside(home: Path, version: int) -> None:
    """Keep a newer client's cache for it: it may be in use beside this one, or be back tomorrow."""
    log(str(home), "cache", "cache-newer")
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            (home / name).replace(home / f"{name}.{version}")


def _is_ours(link: sqlite3.Connection, config: Config) -> bool:
    [version] = link.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA:
        return False
    row = link.execute("SELECT value FROM meta WHERE name = 'scope'").fetchone()
    return row is not None and row[0] == scope_of(config.hub, config.token)


def _make(link: sqlite3.Connection, config: Config) -> None:
    link.executescript(f"BEGIN;{TABLES}PRAGMA user_version = {SCHEMA};COMMIT;")
    link.execute("INSERT INTO meta VALUES ('scope', ?)", (scope_of(config.hub, config.token),))


def records_of(config: Config, identity: Mapping[str, Any], kind: str) -> list[Row] | None:
    """The records of a kind that are kept of a folder's project, with what was changed here since.

    None where nothing is kept, or it cannot be read. Raises sqlite3.Error where it is damaged.
    """
    reader = reading(config)
    if reader is None:
        return None
    try:
        held = reader.project(identity)
        return reader.records(held, kind) if held else []
    finally:
        reader.close()


class Reader:
    """The cache, read by commands. Rows that cannot be read raise sqlite3.Error."""

    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def close(self) -> None:
        """Let go of the file."""
        self._link.close()

    def projects(self) -> list[Held]:
        """All that are held, the latest fetched first."""
        rows = self._link.execute(f"{_HELD} ORDER BY fetched DESC").fetchall()
        return [Held(*row) for row in rows]

    def project(self, identity: Mapping[str, Any]) -> Held | None:
        """The project of a folder, by what is known of it."""
        for key in _keys(identity):
            row = self._link.execute(_HELD_BY_KEY, (key,)).fetchone()
            if row is not None:
                return Held(*row)
        return None

    def records(self, project: Held, kind: str) -> list[Row]:
        """The records of a kind, in the hub's order."""
        asked = "SELECT body FROM records WHERE project = ? AND kind = ? ORDER BY place"
        return [json.loads(row[0]) for row in self._link.execute(asked, (project.number, kind))]

    def brief(self, project: Held) -> str:
        """Where the project stood; "" where nothing is kept of that."""
        row = self._link.execute(
            "SELECT body FROM texts WHERE project = ? AND kind = 'brief'", (project.number,)
        ).fetchone()
        return str(row[0]) if row else ""

    def size(self) -> int:
        """Bytes in use."""
        return _used(self._link)


_HELD = "SELECT number, id, name, client, cursor, fetched FROM projects"
_HELD_BY_KEY = (
    "SELECT number, id, name, client, cursor, fetched FROM projects"
    " WHERE number = (SELECT project FROM folders WHERE key = ?)"
)


def _keys(identity: Mapping[str, Any]) -> list[str]:
    return folder_keys(
        str(identity.get("path") or ""), str(identity.get("remote") or ""), str(identity.get("marker") or "")
    )


def _used(link: sqlite3.Connection) -> int:
    [pages] = link.execute("PRAGMA page_count").fetchone()
    [free] = link.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE_BYTES


def digest_of(ids: Iterable[str]) -> str:
    """SHA-256 of ids in order, a line each: what the hub makes of those that should be held."""
    return hashlib.sha256("".join(f"{key}\n" for key in sorted(ids)).encode()).hexdigest()


class Writer(Reader):
    """The cache, changed within one transaction."""

    def __init__(self, link: sqlite3.Connection, config: Config) -> None:
        super().__init__(link)
        self._config = config

    def take(self, identity: Mapping[str, Any], answer: Mapping[str, Any], items: list[Row], gone: list[str]) -> bool:
        """Bring a project up to date by an answer of the hub's; False when what is held is not what it should be.

        `items` and `gone` are those of all pages, `answer` is the last of them.
        """
        about = cast("Row", answer["project"])
        number = self._number(about)
        for key in _keys(identity):
            self._link.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (key, number))
        self._memories(number, items, gone, answer)
        for kind, rows in cast("dict[str, list[Row]]", answer["parts"]).items():
            self._part(number, kind, _clean([_unframed(row) for row in rows] if kind == "brief" else rows))
        self._link.execute(
            "UPDATE projects SET name = ?, client = ?, cursor = ?, fetched = ? WHERE number = ?",
            (str(about["name"]), about.get("client_id"), answer["cursor"], time.time(), number),
        )
        ids = [row[0] for row in self._link.execute("SELECT id FROM memories WHERE project = ?", (number,))]
        return digest_of(ids) == str(answer["memories"]["held"])

    def drop(self, identity: Mapping[str, Any]) -> None:
        """Forget the project of a folder: the hub does not know it, or this machine may not see it any more."""
        held = self.project(identity)
        if held is not None:
            self.remove(held)

    def remove(self, held: Held) -> None:
        """Forget a project."""
        self._link.execute("DELETE FROM projects WHERE number = ?", (held.number,))

    def make_room(self, keep: Mapping[str, Any]) -> None:
        """Drop the projects fetched longest ago while more than three quarters of the limit are used."""
        limit = self._config.number("cache_mb", LIMIT_MB) * 1024 * 1024 * 3 // 4
        kept = self.project(keep)
        for held in reversed(self.projects()):
            if _used(self._link) <= limit:
                return
            if kept is None or held.number != kept.number:
                self.remove(held)

    def put(self, project: Held, kind: str, record: Row) -> None:
        """Write a record as it was changed here: what is read meanwhile shows it."""
        clean = _clean([record])[0]
        self._link.execute(
            "INSERT INTO records (project, kind, id, place, body) VALUES (?, ?, ?, -1, ?)"
            " ON CONFLICT (project, kind, id) DO UPDATE SET body = excluded.body",
            (project.number, kind, str(clean["id"]), json.dumps(clean, ensure_ascii=False)),
        )
        # What the hub sends next overwrites it, also where nothing has changed there.
        self._link.execute("UPDATE projects SET cursor = NULL WHERE number = ?", (project.number,))

    def _number(self, about: Row) -> int:
        row = self._link.execute("SELECT number FROM projects WHERE id = ?", (str(about["id"]),)).fetchone()
        if row is not None:
            return int(row[0])
        made = "INSERT INTO projects (id, name, fetched) VALUES (?, ?, 0)"
        number = self._link.execute(made, (str(about["id"]), str(about["name"]))).lastrowid
        if number is None:
            raise sqlite3.DatabaseError("a project got no number")
        return number

    def _memories(self, project: int, items: list[Row], gone: list[str], answer: Mapping[str, Any]) -> None:
        if answer["whole"]:
            self._link.execute("DELETE FROM memories WHERE project = ?", (project,))
        without = [(project, key) for key in [*gone, *(str(item["id"]) for item in items)]]
        self._link.executemany("DELETE FROM memories WHERE project = ? AND id = ?", without)
        for item in _clean(items):
            columns = [str(item.get(name) or "") for name in ("kind", "turn", "author", "machine", "said_at", "text")]
            number = self._link.execute(
                "INSERT INTO memories (project, id, seq, kind, turn, author, machine, said_at, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (project, str(item["id"]), int(item["seq"]), *columns),
            ).lastrowid
            self._link.executemany(
                "INSERT INTO terms VALUES (?, ?, ?, ?)",
                [(project, term, number, weight) for term, weight in weights(f"{columns[2]} {columns[5]}")],
            )
        base = int(answer["memories"]["base"])
        self._link.execute("DELETE FROM memories WHERE project = ? AND seq < ?", (project, base))

    def _part(self, project: int, kind: str, rows: list[Row]) -> None:
        if kind == "brief":
            self._link.execute("DELETE FROM texts WHERE project = ? AND kind = 'brief'", (project,))
            for row in rows[:1]:
                self._link.execute("INSERT INTO texts VALUES (?, 'brief', ?)", (project, str(row["text"])))
            return
        self._link.execute("DELETE FROM records WHERE project = ? AND kind = ?", (project, kind))
        self._link.executemany(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
            [
                (project, kind, str(row["id"]), place, json.dumps(row, ensure_ascii=False))
                for place, row in enumerate(rows)
            ],
        )
        if kind == "warning":
            self._failures(project, rows)

    def _failures(self, project: int, rows: list[Row]) -> None:
        self._link.execute("DELETE FROM failures WHERE project = ?", (project,))
        for place, row in enumerate(rows):
            hosts = "\n".join(row["hosts"])
            self._link.executemany(
                "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        project,
                        place,
                        str(row["id"]),
                        hosts,
                        str(each["head"]),
                        int(each["program"]),
                        "\n".join(each["words"]),
                        int(each["least"]),
                        int(each["rights"]),
                        str(row["line"]),
                    )
                    for each in row["triggers"]
                ],
            )


def _unframed(row: Row) -> Row:
    """A brief without its frame, which is put around it when it is told: what stands in one is never kept."""
    text = str(row["text"]).removeprefix(OPENING).removesuffix(CLOSING)
    return {"text": text.replace("worklore-memory", "memory")}


def weights(text: str) -> list[tuple[str, int]]:
    """How much each word of a memory says, up to 1,000: more where it is said again, less in a long text."""
    counted = Counter(terms(text))
    length = 0.4 + 0.6 * counted.total() / 40
    return [(term, round(1_000 * count / (count + 1.2 * length))) for term, count in counted.items()]


def _clean(rows: list[Row]) -> list[Row]:
    """Records without secrets: the hub has taken out what it knows, this machine's rules may be newer."""
    found = Counter[str]()
    return [redact_json({name: value for name, value in row.items() if name not in FORBIDDEN}, found) for row in rows]
