"""Triggers that hold on all three databases, whoever writes: times of change that move, rows that never change.

Each statement is one string without a delimiter, since no driver here needs one.
"""

from alembic import op

_SQLITE_NOW = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"


def _dialect() -> str:
    name = op.get_bind().dialect.name
    return "mariadb" if name == "mysql" else name


def create_touch(table: str) -> None:
    """``updated_at`` moves when a statement changes a row without saying so itself."""
    name = f"trigger_{table}_updated_at"
    match _dialect():
        case "sqlite":
            op.execute(
                f"CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at "  # noqa: S608 - a table's name from a revision
                f"BEGIN UPDATE {table} SET updated_at = {_SQLITE_NOW} WHERE rowid = NEW.rowid; END"
            )
        case "postgresql":
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN "
                "NEW.updated_at := clock_timestamp(); END IF; RETURN NEW; END $$"
            )
            op.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
        case _:
            # ON UPDATE CURRENT_TIMESTAMP would write the connection's local time.
            op.execute(
                f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW "  # noqa: S608 - a table's name from a revision
                "SET NEW.updated_at = IF(NEW.updated_at <=> OLD.updated_at, UTC_TIMESTAMP(6), NEW.updated_at)"
            )


def drop_touch(table: str) -> None:
    """Undo :func:`create_touch`."""
    _drop(table, f"trigger_{table}_updated_at")


def create_append_only(table: str) -> None:
    """Rows are written once: no UPDATE and no DELETE passes."""
    for action in ("UPDATE", "DELETE"):
        _refuse(table, action)


def drop_append_only(table: str) -> None:
    """Undo :func:`create_append_only`."""
    for action in ("update", "delete"):
        _drop(table, f"trigger_{table}_no_{action}")


def create_written_once(table: str, may_go: str) -> None:
    """Rows are written once, and go only where a condition on ``OLD`` holds; on PostgreSQL none goes by TRUNCATE.

    SQLite knows no TRUNCATE, and on MariaDB only who may drop the table may truncate it.
    """
    _refuse(table, "UPDATE")
    _refuse(table, "DELETE", may_go)
    if _dialect() == "postgresql":
        _refuse(table, "TRUNCATE")


def drop_written_once(table: str) -> None:
    """Undo :func:`create_written_once`."""
    if _dialect() == "postgresql":
        _drop(table, f"trigger_{table}_no_truncate")
    drop_append_only(table)


def older_than(column: str, hours: int) -> str:
    """A condition on ``OLD``: a time lies so far back by the database's own clock."""
    match _dialect():
        case "sqlite":
            return f"OLD.{column} < strftime('%Y-%m-%dT%H:%M:%f', 'now', '-{hours} hours') || '000Z'"
        case "postgresql":
            return f"OLD.{column} < clock_timestamp() - interval '{hours} hours'"
        case _:
            return f"OLD.{column} < UTC_TIMESTAMP(6) - INTERVAL {hours} HOUR"


def micros_older_than(column: str, hours: int) -> str:
    """As :func:`older_than`, of a time in microseconds since 1970."""
    now = {
        "sqlite": "CAST(strftime('%s', 'now') AS INTEGER)",
        "postgresql": "extract(epoch FROM clock_timestamp())",
    }.get(_dialect(), "UNIX_TIMESTAMP()")
    return f"OLD.{column} < ({now} - {hours * 3600}) * 1000000"


def _refuse(table: str, action: str, unless: str | None = None) -> None:
    """Let no statement of a kind pass, or none but on rows for which a condition holds."""
    name, told = f"trigger_{table}_no_{action.lower()}", f"{table} is append-only"
    match _dialect():
        case "sqlite":
            when = f"WHEN NOT ({unless}) " if unless else ""
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} {when}BEGIN SELECT RAISE(ABORT, '{told}'); END"
            )
        case "postgresql":
            raised = f"RAISE EXCEPTION '{told}';"
            # What a BEFORE trigger answers takes the place of the row: OLD lets it go.
            body = f"IF NOT ({unless}) THEN {raised} END IF; RETURN OLD;" if unless else raised
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
            each = "STATEMENT" if action == "TRUNCATE" else "ROW"
            op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH {each} EXECUTE FUNCTION {name}()")
        case _:
            signal = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{told}'"
            body = f"BEGIN IF NOT ({unless}) THEN {signal}; END IF; END" if unless else signal
            op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW {body}")


def _drop(table: str, name: str) -> None:
    if _dialect() == "postgresql":
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    else:
        op.execute(f"DROP TRIGGER {name}")
