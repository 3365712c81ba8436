"""What a database's schema is, one line for each part of it, so that two can be compared."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

Fingerprint = dict[str, str]
"""From ``clients: column name`` to what the database says of it; the order of columns is no part of it."""

VERSION_TABLE: Final = "alembic_version"

_TRIGGERS: Final = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT relname, tgname, tgtype || prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid "
    "JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace",
    "mariadb": "SELECT event_object_table, trigger_name, CONCAT(action_timing, ' ', event_manipulation, ' ', "
    "action_statement) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
}


def fingerprint(connection: Connection) -> Fingerprint:
    """Tables, columns, types, defaults, keys, indexes, checks and triggers, as this connection's database has them."""
    seen: Any = inspect(connection)
    made: Fingerprint = {}
    for table in sorted(set(seen.get_table_names()) - {VERSION_TABLE}):
        made[f"table {table}"] = "there"
        for column in seen.get_columns(table):
            may = "may be null" if column["nullable"] else "not null"
            made[f"{table}: column {column['name']}"] = f"{column['type']}, {may}, default {column['default']}"
        key = seen.get_pk_constraint(table)
        made[f"{table}: primary key"] = f"{key['name']} {_list(key['constrained_columns'])}"
        for index in seen.get_indexes(table):
            unique = ", unique" if index["unique"] else ""
            made[f"{table}: index {index['name']}"] = f"{_list(index['column_names'])}{unique}"
        for rule in seen.get_unique_constraints(table):
            made[f"{table}: unique {rule['name']}"] = _list(rule["column_names"])
        for key in seen.get_foreign_keys(table):
            refers = f"{key['referred_table']} {_list(key['referred_columns'])}"
            actions = "".join(f", {name} {action}" for name, action in sorted(key["options"].items()))
            made[f"{table}: foreign key {key['name']}"] = f"{_list(key['constrained_columns'])} to {refers}{actions}"
        for rule in seen.get_check_constraints(table):
            made[f"{table}: check {rule['name']}"] = rule["sqltext"]
    for table, name, definition in connection.execute(text(_TRIGGERS[connection.dialect.name])):
        made[f"{table}: trigger {name}"] = definition
    return made


def _list(names: Iterable[Any]) -> str:
    return f"({', '.join(map(str, names))})"


def differences(found: Fingerprint, wanted: Fingerprint) -> list[str]:
    """One line for each part that is missing, too much or different."""
    lines: list[str] = []
    for part in sorted(found.keys() | wanted.keys()):
        if part not in found:
            lines.append(f"{part} is missing.")
        elif part not in wanted:
            lines.append(f"{part} is not part of the schema.")
        elif found[part] != wanted[part]:
            lines.append(f"{part} is {found[part]}; it should be {wanted[part]}.")
    return lines
