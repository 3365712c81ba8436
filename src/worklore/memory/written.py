"""Texts that come from sessions, wherever they are kept, and that none of them is written with a secret in it.

Capture redacts what it takes in; people, agents and importers write records of the same kinds through the API. A
listener of the session sees each before it is stored and before the change audit notes its values.
"""

from collections import Counter
from typing import Any, Final

from sqlalchemy import UniqueConstraint, event, inspect
from sqlalchemy.orm import Session
from sqlalchemy.orm.unitofwork import UOWTransaction

from worklore.kernel.audit import CONTEXT, AuditedSession
from worklore.kernel.resource import Resource
from worklore.kernel.types import Json, Line, Prose
from worklore.knowledge.example import ENVIRONMENTAL_EXAMPLES
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS
from worklore.knowledge.pattern import FAILURE_PATTERNS
from worklore.knowledge.solution import PROBLEM_SOLUTIONS
from worklore.memory.context import CONTEXTS
from worklore.memory.decision import DECISIONS
from worklore.memory.project_state import PROJECT_STATES
from worklore.memory.redaction import without_secrets
from worklore.memory.snippet import SNIPPETS
from worklore.memory.window import WINDOWS
from worklore.trail.command import COMMANDS
from worklore.trail.database_change import DATABASE_CHANGES
from worklore.trail.deployment import DEPLOYMENTS
from worklore.trail.failure import OPERATION_FAILURES
from worklore.trail.file_change import FILE_CHANGES
from worklore.trail.incident import INCIDENTS
from worklore.trail.infrastructure_change import INFRASTRUCTURE_CHANGES
from worklore.work.session import SESSIONS

OF_SESSIONS: Final[tuple[Resource, ...]] = (
    WINDOWS,
    CONTEXTS,
    SNIPPETS,
    DECISIONS,
    PROJECT_STATES,
    SESSIONS,
    COMMANDS,
    FILE_CHANGES,
    OPERATION_FAILURES,
    DEPLOYMENTS,
    INCIDENTS,
    INFRASTRUCTURE_CHANGES,
    DATABASE_CHANGES,
    FAILURE_PATTERNS,
    ENVIRONMENTAL_INSIGHTS,
    ENVIRONMENTAL_EXAMPLES,
    PROBLEM_SOLUTIONS,
)
"""What holds texts that come from sessions."""

WIDE: Final = 200
"""Columns of at least this many characters hold what people write; shorter ones hold names and codes."""


def columns_of(resource: Resource) -> dict[str, Any]:
    """The attributes of a class in which people, agents and programs write freely, by name."""
    mapper: Any = inspect(resource.model)
    unique = {
        each.name
        for constraint in mapper.local_table.constraints
        if isinstance(constraint, UniqueConstraint)
        for each in constraint.columns
    }
    left_out = unique | {hidden.key for hidden in resource.hidden}
    return {
        attribute.key: getattr(resource.model, attribute.key)
        for attribute in mapper.column_attrs
        if (kept := attribute.columns[0]).name not in left_out
        and not kept.unique
        and not kept.foreign_keys
        and not kept.info.get("sealed")
        and _is_free(kept.type)
    }


def _is_free(kind: Any) -> bool:
    return isinstance(kind, Prose | Json) or (isinstance(kind, Line) and kind.length >= WIDE)


def fitting(attribute: Any, clean: Any) -> Any:
    """A redacted value, cut to what its column holds: a mark may be longer than what it stands for."""
    length: int | None = getattr(attribute.type, "length", None)
    return clean[:length] if length and isinstance(clean, str) else clean


_COLUMNS: Final = {each.model: columns_of(each) for each in OF_SESSIONS}


@event.listens_for(AuditedSession, "before_flush", insert=True)
def _redact(session: Session, _flush: UOWTransaction, _: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    changed: list[Any] = [*session.new, *session.dirty]
    for record in changed:
        columns = _COLUMNS.get(record.__class__)
        if columns is None:
            continue
        state: Any = inspect(record)
        for name, attribute in columns.items():
            value = state.dict.get(name)
            if not value or not state.attrs[name].history.has_changes():
                continue
            clean = fitting(attribute, without_secrets(session.info[CONTEXT], value, Counter()))
            if clean != value:
                setattr(record, name, clean)
