"""Which work records a unit of work has changed, until the windows that tell of them are brought up to date."""

import uuid
from collections.abc import Iterable
from typing import Any, Final

from worklore.kernel.context import Context

CHANGED: Final = "records changed"
"""Where a unit of work holds them: sets of ids by class."""


def note_changed(ctx: Context, model: type[Any], ids: Iterable[uuid.UUID]) -> None:
    """Note records that were written past the session; those of the session are noticed by themselves."""
    ctx.info.setdefault(CHANGED, {}).setdefault(model, set()).update(ids)
