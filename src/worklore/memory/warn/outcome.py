"""What came of a warning: read from what the session ran afterwards, unless somebody has told it."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.wire import WireModel
from worklore.memory.warn.evidence import Ran
from worklore.memory.warn.known import known_failures
from worklore.memory.warn.told import CommandWarning, Outcome, OutcomeSource
from worklore.work.news import leave_news
from worklore.work.session import WorkSession

AT_ONCE: Final = timedelta(seconds=10)
"""An agent writes a command down a little before its hook runs: so much earlier it is still the one warned of."""

STOPPED_BY_NOBODY: Final = "PreToolUse"
"""The event after which the command runs all the same: what counts is whether it is run again."""


class CameOf(WireModel):
    """What came of a warning."""

    outcome: Outcome


class Kept(WireModel):
    """A warning's outcome as it is kept."""

    id: uuid.UUID
    outcome: Outcome


def tell_outcome(ctx: Context, warning: CommandWarning, body: CameOf) -> Kept:
    """Say what came of a warning: heeded, ignored, or wrong. What the hub works out itself gives way to it."""
    warning.outcome, warning.outcome_source = body.outcome, OutcomeSource.told
    ctx.session.flush()
    leave_news(ctx, warning.session_id)
    return Kept(id=warning.id, outcome=body.outcome)


WARNING_OUTCOME: Final = Action(run=tell_outcome, name="outcome", on="warning", scope="warning:write", risk=Risk.write)


def outcome_of(ran: Sequence[Ran | None], event: str, *, went_on: bool) -> Outcome | None:
    """What the commands that repeat a known failure after its warning say; None while that is open.

    Args:
        ran: those commands in their order; None for one of which is not known how it ended.
        event: how the warning was given; after a hook's, the first of them is the one that it stood before.
        went_on: the session ran something after the warning.
    """
    first, rest = (ran[0], ran[1:]) if event == STOPPED_BY_NOBODY and ran else (None, ran)
    if first is not None and first.succeeded:
        return Outcome.wrong
    for again in rest:
        if again is not None:
            return Outcome.wrong if again.succeeded else Outcome.ignored
    return Outcome.heeded if went_on and not rest else None


def derive(ctx: ReadContext, session: WorkSession, commands: Sequence[Ran]) -> dict[uuid.UUID, Outcome]:
    """The outcomes of a session's warnings that nobody has told, where they are to change."""
    open_ones = select(CommandWarning).where(CommandWarning.session_id == session.id)
    index = known_failures(ctx)
    found: dict[uuid.UUID, Outcome] = {}
    for warning in ctx.session.scalars(open_ones).all():
        if warning.outcome_source is OutcomeSource.told:
            continue
        key = warning.pattern_id or warning.insight_id
        later = [command for command in commands if command.at >= warning.told_at - AT_ONCE]
        repeated = [command for command in later if key and index.repeats(ctx, key, command.calls)]
        ended = [command if command.failed or command.succeeded else None for command in repeated]
        others = [command for command in later if command not in repeated and command.at >= warning.told_at]
        outcome = outcome_of(ended, warning.event, went_on=bool(others))
        if outcome is not None and outcome is not warning.outcome:
            found[warning.id] = outcome
    return found


def keep_outcome(ctx: Context, warning_id: uuid.UUID, outcome: Outcome) -> None:
    """Write down what a session says came of a warning, unless somebody has told it."""
    warning = ctx.session.get(CommandWarning, warning_id)
    if warning is not None and warning.outcome_source is not OutcomeSource.told:
        warning.outcome, warning.outcome_source = outcome, OutcomeSource.derived


def wrong_since(ctx: ReadContext, pattern_id: uuid.UUID, moment: datetime) -> int:
    """How often somebody has said that a warning of a pattern was wrong, since a moment."""
    told = select(func.count()).where(
        CommandWarning.pattern_id == pattern_id,
        CommandWarning.outcome == Outcome.wrong,
        CommandWarning.outcome_source == OutcomeSource.told,
        CommandWarning.told_at > moment,
    )
    return ctx.session.scalar(told) or 0
