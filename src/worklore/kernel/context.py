"""What a unit of work holds: the session, who acts, the clock, and what leaves with the commit."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from worklore.kernel.access import Principal
from worklore.kernel.types import utcnow, uuid7

DERIVED: Final = "derived"
"""Where a session holds its database's derived state."""

READING: Final = "reading"
"""Where a session holds the engine of those who only read: what is asked after a write has failed is asked there."""


@dataclass(slots=True)
class ReadContext:
    """A reader's view: one session in one transaction that never commits."""

    session: Session
    principal: Principal
    request_id: uuid.UUID = field(default_factory=uuid7)
    now: Callable[[], datetime] = utcnow

    @property
    def derived(self) -> dict[str, Any]:
        """What this process keeps beside the database and can rebuild from it at will, by name."""
        derived: dict[str, Any] = self.session.info[DERIVED]
        return derived


@dataclass(slots=True)
class Context(ReadContext):
    """A writer's unit of work. It may run several times, so nothing it does may reach outside it.

    Attributes:
        message: why the caller changes something; kept with each audit row.
        dry_run: True when the transaction will be rolled back and the result only shown.
        hopeful: True when the caller's idempotency key is taken for new without looking: almost all are. Whatever goes
            wrong then, the key that is there already too, makes the unit run again from its start, and look.
    """

    message: str | None = None
    dry_run: bool = False
    hopeful: bool = False

    @property
    def info(self) -> dict[Any, Any]:
        """Facts that travel with the session, where listeners find them."""
        return self.session.info
