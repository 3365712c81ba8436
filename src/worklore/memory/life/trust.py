"""How far a memory can be relied on, and what that comes to for one that is made of others. Pure."""

from collections.abc import Iterable
from enum import StrEnum


class Trust(StrEnum):
    """How far what a memory says can be relied on, the least first."""

    untrusted = "untrusted"
    transcript = "transcript"
    stated = "stated"
    confirmed = "confirmed"

    @property
    def level(self) -> int:
        """Its place, 0 for the least trusted."""
        return list(Trust).index(self)


def trust_of(parents: Iterable[str]) -> Trust:
    """The trust of what is made of others: that of the least trusted. Of nothing known, and of no parents, none."""
    levels = [Trust(each) if each in set(Trust) else Trust.untrusted for each in parents]
    return min(levels, key=lambda trust: trust.level, default=Trust.untrusted)
