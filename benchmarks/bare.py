"""The yardstick: a bare FastAPI app that reads and writes one entity with hand-written SQL through the driver.

It does what a careful author would who wants speed and writes no product around it: it verifies the same Ed25519 JWT
with PyJWT, validates the body with pydantic, runs one statement, and answers orjson's bytes; on SQLite inline on the
event loop with the hub's pragmas, on a server database in FastAPI's own threads with a connection each. It has no
scopes, visibility, versions, audit, idempotency, filters or problem documents.
"""

import argparse
import base64
import inspect
import json
import os
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import orjson
import psycopg
import pymysql
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.engine import make_url

from worklore.identity.keys import load_key
from worklore.kernel.types import uuid7


class NewProject(BaseModel):
    """What creates a project."""

    client_id: uuid.UUID
    name: str = Field(max_length=255)
    slug: str | None = Field(default=None, max_length=255)
    category: str | None = Field(default=None, max_length=50)
    status: str = "working"
    priority: str | None = "medium"
    description: str | None = None
    started_date: date | None = None
    target_completion_date: date | None = None
    completed_date: date | None = None
    estimated_hours: Decimal | None = None
    actual_hours: Decimal | None = None
    gitea_repo_url: str | None = Field(default=None, max_length=500)
    notes: str | None = None


FIELDS = [*NewProject.model_fields, "id", "version", "created_at", "updated_at"]
HOURS = (FIELDS.index("estimated_hours"), FIELDS.index("actual_hours"))
AS_JSON = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


class Sqlite:
    """One connection, used by the event loop alone."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(make_url(url).database or "", isolation_level=None, cached_statements=512)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16000",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()

    mark = "?"

    def read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def write(self, sql: str, rows: list[list[Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(sql, rows)
        self._connection.execute("COMMIT")

    @staticmethod
    def stored(value: Any) -> Any:
        match value:
            case uuid.UUID():
                return str(value)
            case datetime():
                return value.isoformat(timespec="microseconds")[:-6] + "Z"
            case date():
                return value.isoformat()
            case Decimal():
                return float(value)
            case _:
                return value


class Server:
    """A connection for each thread; reads in autocommit, a write in a transaction of its own."""

    mark = "%s"

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._of_thread = threading.local()

    def _cursor(self) -> Any:
        if not hasattr(self._of_thread, "cursor"):
            self._of_thread.cursor = self._connect().cursor()
        return self._of_thread.cursor

    def read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        cursor = self._cursor()
        cursor.execute(sql, values)
        return cursor.fetchall()

    def write(self, sql: str, rows: list[list[Any]]) -> None:
        cursor = self._cursor()
        if len(rows) == 1:
            # One statement in autocommit is one transaction, as durable as BEGIN and COMMIT around it.
            cursor.execute(sql, rows[0])
            return
        cursor.execute("BEGIN")
        cursor.executemany(sql, rows)
        cursor.execute("COMMIT")

    @staticmethod
    def stored(value: Any) -> Any:
        return value


def postgresql(url: str) -> Server:
    target = make_url(url).render_as_string(hide_password=False).replace("+psycopg", "", 1)
    return Server(lambda: psycopg.connect(target, autocommit=True, options="-c timezone=UTC"))


def mariadb(url: str) -> Server:
    target = make_url(url)

    def connect() -> Any:
        return pymysql.connect(
            host=target.host,
            port=target.port or 3306,
            user=target.username,
            password=str(target.password or ""),
            database=target.database,
            charset="utf8mb4",
            autocommit=True,
        )

    server = Server(connect)
    server.stored = lambda value: str(value) if isinstance(value, uuid.UUID) else value  # type: ignore[method-assign]
    return server


class Change(BaseModel):
    """What changes a project."""

    notes: str


class Projects:
    """The endpoints."""

    def __init__(self, database: Sqlite | Server, key_file: Path) -> None:
        self._database = database
        self._verifying = load_key(key_file, create=False).verifying
        columns, mark = ", ".join(FIELDS), database.mark
        self._one = f"SELECT {columns} FROM projects WHERE id = {mark}"
        self._first = f"SELECT {columns} FROM projects ORDER BY id LIMIT {mark}"
        self._of_status = f"SELECT {columns} FROM projects WHERE status = {mark} ORDER BY id LIMIT {mark}"
        like = " OR ".join(f"lower({name}) LIKE {mark}" for name in ("name", "description", "notes"))
        self._with_word = f"SELECT {columns} FROM projects WHERE {like} ORDER BY id LIMIT {mark}"
        self._update = (
            f"UPDATE projects SET notes = {mark}, version = version + 1, updated_at = {mark} WHERE id = {mark}"
        )
        self._insert = f"INSERT INTO projects ({columns}) VALUES ({', '.join([mark] * len(FIELDS))})"

    def get(self, request: Request, project: uuid.UUID) -> Response:
        self._verify(request)
        rows = self._database.read(self._one, (self._database.stored(project),))
        if not rows:
            raise HTTPException(404)
        return self._answer(shown(rows[0]))

    def page(self, request: Request, status: str | None = None, q: str | None = None, limit: int = 50) -> Response:
        self._verify(request)
        if status is not None:
            rows = self._database.read(self._of_status, (status, limit + 1))
        elif q is not None:
            rows = self._database.read(self._with_word, (*[f"%{q.lower()}%"] * 3, limit + 1))
        else:
            rows = self._database.read(self._first, (limit + 1,))
        items = [shown(row) for row in rows[:limit]]
        after = None
        if len(rows) > limit:
            after = base64.urlsafe_b64encode(orjson.dumps(["id", items[-1]["id"]])).decode().rstrip("=")
        return self._answer({"items": items, "next": after})

    def create(self, request: Request, body: NewProject | list[NewProject]) -> Response:
        self._verify(request)
        now = datetime.now(UTC)
        rows: list[list[Any]] = []
        for item in body if isinstance(body, list) else [body]:
            values = item.model_dump() | {"id": uuid7(), "version": 1, "created_at": now, "updated_at": now}
            rows.append([values[name] for name in FIELDS])
        self._database.write(self._insert, [[self._database.stored(value) for value in row] for row in rows])
        return self._answer([shown(row) for row in rows] if isinstance(body, list) else shown(rows[0]), 201)

    def patch(self, request: Request, project: uuid.UUID, body: Change) -> Response:
        self._verify(request)
        key = self._database.stored(project)
        self._database.write(self._update, [[body.notes, self._database.stored(datetime.now(UTC)), key]])
        return self._answer(shown(self._database.read(self._one, (key,))[0]))

    def _verify(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            jwt.decode(token, self._verifying, algorithms=["EdDSA"], audience="worklore-hub", issuer="worklore")
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error

    @staticmethod
    def _answer(value: Any, status: int = 200) -> Response:
        return Response(orjson.dumps(value, option=AS_JSON), status, media_type="application/json")


def shown(row: Sequence[Any]) -> dict[str, Any]:
    """A row as it is answered."""
    item = dict(zip(FIELDS, row, strict=True))
    for place in HOURS:
        if row[place] is not None:
            item[FIELDS[place]] = f"{row[place]:.2f}"
    return item


def app_on(url: str, key_file: Path) -> FastAPI:
    """The app on a database; on SQLite its endpoints run inline, on servers in threads."""
    family = make_url(url).get_backend_name()
    databases: dict[str, Callable[[str], Sqlite | Server]] = {
        "sqlite": Sqlite,
        "postgresql": postgresql,
        "mariadb": mariadb,
    }
    endpoints = Projects(databases[family](url), key_file)
    app = FastAPI(openapi_url=None)
    for method, path, endpoint in (
        ("GET", "/api/v1/projects/{project}", endpoints.get),
        ("GET", "/api/v1/projects", endpoints.page),
        ("POST", "/api/v1/projects", endpoints.create),
        ("PATCH", "/api/v1/projects/{project}", endpoints.patch),
    ):
        app.add_api_route(path, inline(endpoint) if family == "sqlite" else endpoint, methods=[method])
    return app


def inline(endpoint: Callable[..., Response]) -> Callable[..., Any]:
    """The endpoint as a coroutine function, which FastAPI runs on the event loop."""

    async def run(*args: Any, **kwargs: Any) -> Response:
        return endpoint(*args, **kwargs)

    run.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]
    return run


def main() -> None:
    """Serve until told to stop; write address and process id to the ready file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", type=Path)
    parser.add_argument("--ready-file", type=Path)
    options = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", 0))
    app = app_on(os.environ["WORKLORE_DATABASE_URL"], options.key)
    ready = {"port": listening.getsockname()[1], "pid": os.getpid()}
    unfinished = options.ready_file.with_suffix(".new")
    unfinished.write_text(json.dumps(ready))
    unfinished.replace(options.ready_file)
    config = uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools")
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
