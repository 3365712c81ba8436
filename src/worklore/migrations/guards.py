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
        name = f"trigger_{table}_no_{action.lower()}"
        match _dialect():
            case "sqlite":
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
            case "postgresql":
                op.execute(
                    f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    f"RAISE EXCEPTION '{table} is append-only'; END $$"
                )
                op.execute(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
            case _:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW "
                    f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{table} is append-only'"
                )


def drop_append_only(table: str) -> None:
    """Undo :func:`create_append_only`."""
    for action in ("update", "delete"):
        _drop(table, f"trigger_{table}_no_{action}")


def _drop(table: str, name: str) -> None:
    if _dialect() == "postgresql":
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    else:
        op.execute(f"DROP TRIGGER {name}")
