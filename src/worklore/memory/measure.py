"""The benchmark over the real path: windows in a database, the index derived from it, recall as agents get it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from worklore.clients.client import Client, ClientType
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.memory.bench import Document, Injection, Query
from worklore.memory.capture import rows_of, store
from worklore.memory.rank import is_name
from worklore.memory.recall import search
from worklore.memory.recollection import Scope, recollection
from worklore.memory.transcript import Turn
from worklore.memory.vector import embed_memory
from worklore.memory.window import Role
from worklore.work.project import Project
from worklore.work.session import WorkSession

HITS_PER_DOCUMENT = 8
"""Windows asked for each document wanted: long documents have several."""


class StoredCorpus:
    """A benchmark's documents as captured windows: each scope a project of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._scopes: dict[str, Scope] = {}
        self._newest: dict[str, datetime] = {}
        self._documents: dict[str, str] = {}

    def load(self, documents: Sequence[Document]) -> None:
        """Store the documents and read them into the index once, so that no query pays for it."""
        scopes: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            scopes[document.scope].append(document)
        for scope, held in scopes.items():
            self._newest[scope] = max(document.time for document in held)
            self._scopes[scope] = self._database.write(partial(self._store, scope=scope, documents=held))
        embed_memory(self._database, {})
        for scope in scopes:
            with self._database.read(SYSTEM) as ctx:
                recollection(ctx).rank(ctx, self._scopes[scope], "warm", now=self._newest[scope], limit=1)

    def _store(self, ctx: Context, scope: str, documents: Sequence[Document]) -> Scope:
        client = Client(id=uuid7(), name=f"{scope} {uuid7()}"[:255], type=ClientType.project)
        project = Project(id=uuid7(), client_id=client.id, name=scope[:255])
        for record in (client, project):
            ctx.session.add(record)
            ctx.session.flush()
        sessions: dict[str, WorkSession] = {}
        places: dict[str, int] = defaultdict(int)
        rows: list[dict[str, Any]] = []
        for document in documents:
            session = sessions.get(document.session)
            if session is None:
                session = WorkSession(
                    id=uuid7(), client_id=client.id, project_id=project.id, session_title=document.session[:500]
                )
                sessions[document.session] = session
                ctx.session.add(session)
                ctx.session.flush()
            shared = {"session_id": session.id, "project_id": project.id, "client_id": client.id, "version": 1}
            shared |= {"created_at": ctx.now(), "trust": "transcript"}
            role = Role.person if is_name(document.author) else Role(document.author)
            turn = Turn(uuid=document.id, role=role.value, text=document.text, time=document.time)
            place = places[document.session]
            places[document.session] += 1
            rows += [shared | row for row in rows_of(turn, place, author=document.author, now=document.time)]
        store(ctx, rows, client_id=client.id)
        return Scope(project.id, client.id)

    def rank(self, query: Query, limit: int) -> Sequence[str]:
        """Ids of the best documents, each once."""
        with self._database.read(SYSTEM) as ctx:
            found = search(
                ctx,
                self._scopes[query.scope],
                query.text,
                budget=limit * HITS_PER_DOCUMENT * 12,
                now=query.time or self._newest[query.scope],
            )
        return list(found.hits)[:limit]

    def recall(self, query: Query, budget: int) -> Injection:
        """What an agent would be told, and the documents that stand whole in it."""
        with self._database.read(SYSTEM) as ctx:
            scope, now = self._scopes[query.scope], query.time or self._newest[query.scope]
            packed = search(ctx, scope, query.text, budget=budget, now=now).packed(budget)
        return Injection(packed.text, [shown.excerpt.turn for shown in packed.shown if shown.whole])
