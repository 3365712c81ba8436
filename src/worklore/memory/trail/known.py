"""Names that a transcript uses, and the records they stand for: assets of the client, work items of the project."""

import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import func, or_, select

from worklore.estate.infrastructure import Infrastructure
from worklore.identity.machine import Machine
from worklore.kernel.context import ReadContext
from worklore.kernel.handles import Handle
from worklore.memory.trail.rows import Line
from worklore.memory.trail.step import Read
from worklore.work.work_item import WorkItem

MAX_NAMES: Final = 200
MAX_BRANCHES: Final = 50

HANDLE: Final = re.compile(r"(?i)\bwi-[0-9a-z]{4,20}\b")

Item = uuid.UUID | None


def machine_name(ctx: ReadContext, machine_id: uuid.UUID | None) -> str:
    """The host name of a machine, in lower case; empty for none."""
    machine = ctx.session.get(Machine, machine_id) if machine_id else None
    return machine.hostname.lower() if machine else ""


def assets(
    ctx: ReadContext, client_id: uuid.UUID | None, lines: Iterable[Line], machine: str
) -> Callable[[Sequence[str]], uuid.UUID | None]:
    """A look-up of the client's assets by host name or address: the first of some names that is known.

    A name without a domain also finds the one asset whose host name begins with it and a dot. Assets of other clients
    are never found.
    """
    names = list(dict.fromkeys([machine, *(host for line in lines for host in line.hosts)]))
    names = [name for name in names if name][:MAX_NAMES]
    exact: dict[str, set[uuid.UUID]] = {}
    begins: dict[str, set[uuid.UUID]] = {}
    if client_id is not None and names:
        host = func.lower(Infrastructure.hostname)
        short = [host.startswith(f"{name}.", autoescape=True) for name in names if "." not in name and ":" not in name]
        wanted = select(Infrastructure.id, Infrastructure.hostname, Infrastructure.ip_address).where(
            Infrastructure.client_id == client_id, or_(host.in_(names), Infrastructure.ip_address.in_(names), *short)
        )
        for row in ctx.session.execute(wanted):
            full = row.hostname.lower()
            for name in filter(None, (full, row.ip_address)):
                exact.setdefault(name, set()).add(row.id)
            begins.setdefault(full.partition(".")[0], set()).add(row.id)

    def asset(hosts: Sequence[str]) -> uuid.UUID | None:
        for name in hosts:
            found = exact.get(name) or begins.get(name) or set[uuid.UUID]()
            if len(found) == 1:  # a name that two assets share tells neither
                return next(iter(found))
        return None

    return asset


def items_of_branches(ctx: ReadContext, project_id: uuid.UUID, read: Read) -> Callable[[str], Item]:
    """A look-up of the project's work items by the branch they are done on, or that is named after their handle."""
    branches = list(dict.fromkeys(done.call.branch for done in read.done if done.call.branch))[:MAX_BRANCHES]
    known: dict[str, set[uuid.UUID]] = {}
    if branches:
        found = select(WorkItem.id, WorkItem.branch_name).where(
            WorkItem.project_id == project_id, WorkItem.deleted_at.is_(None), WorkItem.branch_name.in_(branches)
        )
        for row in ctx.session.execute(found):
            known.setdefault(str(row.branch_name), set()).add(row.id)
        handles = _of_handles(ctx, project_id, branches)
        for branch in branches:
            named = [handles[name] for name in _handles_in(branch) if name in handles]
            if named and branch not in known:
                known[branch] = set(named[:1])

    def item(branch: str) -> Item:
        ids = known.get(branch, set[uuid.UUID]())
        return next(iter(ids)) if len(ids) == 1 else None

    return item


def named_items(
    ctx: ReadContext, project_id: uuid.UUID, read: Read, state: dict[str, Any]
) -> tuple[tuple[int, Item], ...]:
    """The work items that a person names in what they say, each from where on; the last goes on in the state."""
    said = [
        (read.ordinals.get(turn.uuid, 0), turn.text)
        for turn in read.turns
        if turn.role == "user" and turn.uuid not in read.forgotten
    ]
    handles = _of_handles(ctx, project_id, [text for _, text in said])
    before = state.get("work_item")
    found: list[tuple[int, Item]] = [(0, uuid.UUID(before) if before else None)]
    for ordinal, text in said:
        named = [handles[name] for name in _handles_in(text) if name in handles]
        if named:
            found.append((ordinal, named[0]))
            state["work_item"] = str(named[0])
    return tuple(found)


def _handles_in(text: str) -> list[str]:
    return [found.lower() for found in HANDLE.findall(text)[:20]]


def _of_handles(ctx: ReadContext, project_id: uuid.UUID, texts: Iterable[str]) -> dict[str, uuid.UUID]:
    names = list(dict.fromkeys(name for text in texts for name in _handles_in(text)))[:MAX_NAMES]
    if not names:
        return {}
    found = (
        select(Handle.handle, WorkItem.id)
        .join(WorkItem, WorkItem.id == Handle.record_id)
        .where(Handle.handle.in_(names), Handle.table_name == WorkItem.__tablename__)
        .where(WorkItem.project_id == project_id, WorkItem.deleted_at.is_(None))
    )
    return {row.handle.lower(): row.id for row in ctx.session.execute(found)}
