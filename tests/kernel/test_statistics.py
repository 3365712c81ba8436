"""SQLite knows how its tables are filled, so that a page of half a table is no sort of half the table."""

from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import insert, select

from tests.databases import Templates
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.trail.command import CommandRun
from worklore.work.session import WorkSession

WHEN = datetime(2026, 3, 1, 8, tzinfo=UTC)
TABLE = CommandRun.__table__
PAGE = select(TABLE.c.id).where(TABLE.c.success.is_(False)).order_by(TABLE.c.id).limit(51)


def fill(ctx: Context) -> None:
    session = WorkSession(id=uuid7(), session_date=date(2026, 3, 1), session_title="Statistics")
    ctx.session.add(session)
    ctx.session.flush()
    rows = [
        {"id": uuid7(), "session_id": session.id, "command_text": "true", "success": bool(n % 2), "executed_at": WHEN}
        for n in range(4000)
    ]
    ctx.session.execute(unaudited(insert(CommandRun), "rows of a test"), rows)


def sorts(database: Database) -> bool:
    """True when the page is read by sorting all rows that fit."""
    with database.read(SYSTEM) as ctx:
        connection = ctx.session.connection()
        text = PAGE.compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").fetchall()
    return any("TEMP B-TREE" in row[3] for row in plan)


def test_a_page_is_read_in_order_once_the_rows_are_counted(templates: Templates, tmp_path: Path) -> None:
    database = Database(templates.copied("sqlite", tmp_path / "own.db"))
    try:
        database.write(fill)
        assert sorts(database), "SQLite needs no statistics for this any more; then drop them"
        database.renew_statistics()
        assert not sorts(database)
    finally:
        database.close()
