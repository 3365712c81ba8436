"""The known failures of a client as a machine takes them along, to warn of them while it cannot reach its hub.

A machine compares less closely than the hub does: it gets of each failure which programs and words repeat it, the
hosts it is known from, and the line to be told.
"""

import uuid
from typing import Any, Final

from worklore.kernel.context import ReadContext
from worklore.memory.warn.command_line import Call
from worklore.memory.warn.known import Known, known_failures
from worklore.memory.warn.warning import Match, cautions_of, told_line

MOST_CARRIED: Final = 200


def carried(ctx: ReadContext, client: uuid.UUID | None) -> list[dict[str, Any]]:
    """The failures known of a client and of the installation, as far as the caller sees them; the weightiest first.

    Each has its ``id``, the ``line`` that warns of it, ``hosts`` (lower case; empty where it holds everywhere) and
    ``triggers``: a command repeats it whose ``head`` is the same and that has at least ``least`` of the ``words``.
    """
    held = {known.id: known for known in known_failures(ctx).of(ctx, client) if known.triggers}
    matches = {key: Match(known, _call(known), _host(known)) for key, known in held.items()}
    made = cautions_of(ctx, matches)[:MOST_CARRIED]
    return [
        {
            "id": str(key),
            "line": told_line(caution),
            "hosts": sorted(held[key].hosts),
            "triggers": [
                {
                    "head": wanted.head,
                    "program": wanted.program_alone,
                    "words": sorted(wanted.words),
                    "least": wanted.least,
                    "rights": wanted.of_rights and not wanted.elevated,
                }
                for wanted in held[key].triggers
            ],
        }
        for key, caution in made
    ]


def _call(known: Known) -> Call:
    head = known.triggers[0].head
    return Call(head.partition(" ")[0], head, (), ())


def _host(known: Known) -> str:
    return min(known.hosts, default="")
