"""What only people decide about memory."""

from worklore.kernel.access import PrincipalKind
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import ForbiddenError


def require_person(ctx: ReadContext, deed: str, *, signed_in: bool = False) -> None:
    """Refuse agents and machines; with ``signed_in`` every token too, as programs hold tokens.

    Raises:
        ForbiddenError: ``person-needed``.
    """
    who = ctx.principal
    if who.kind is PrincipalKind.user and who.agent_id is None and (who.signed_in or not signed_in):
        return
    raise ForbiddenError(
        f"Only a person may {deed}.",
        hint="Ask the person you work for to do it, signed in under their own name.",
        code="person-needed",
    )
