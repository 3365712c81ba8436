"""When tokens were used last: noted in memory for each check, and written together once in a while."""

import threading
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import update

from worklore.identity.token import ApiToken, Authenticator
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database

WRITE_SECONDS: Final = 60.0

log = structlog.get_logger()


class Uses(threading.Thread):
    """The thread that writes ``last_used_at`` and ``last_used_ip`` of tokens, once a minute and at the end."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        super().__init__(name="token-uses", daemon=True)
        self._database = database
        self._authenticator = authenticator
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write what there is every minute until stopped."""
        while not self._stopping.wait(WRITE_SECONDS):
            self.write()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        if self.ident is not None:  # one that was never started cannot be waited for
            self.join()
        self.write()

    def write(self) -> None:
        """Write what was noted since the last time, in one unit of work. A failure is logged: nobody waits for it."""
        used = self._authenticator.take_used()
        try:
            if used:
                self._database.write(partial(_keep, used=used))
        except Exception as error:  # noqa: BLE001 - the next use is noted again
            log.warning("the last use of tokens was not written", error=type(error).__name__)


def _keep(ctx: Context, used: Mapping[uuid.UUID, tuple[datetime, str | None]]) -> None:
    # In the order of ids, so that two nodes do not wait for each other.
    for key, (moment, address) in sorted(used.items()):
        last = update(ApiToken).where(ApiToken.id == key).values(last_used_at=moment, last_used_ip=address)
        ctx.session.connection().execute(unaudited(last, "a use is in the log of requests"))
