"""How far a memory that is made of others can be relied on. Pure."""

from collections.abc import Iterable

from worklore.memory.window import Trust


def trust_of(parents: Iterable[str]) -> Trust:
    """The trust of what is made of others: that of the least trusted. Of nothing known, and of no parents, none."""
    levels = [Trust(each) if each in set(Trust) else Trust.untrusted for each in parents]
    return min(levels, key=lambda trust: trust.level, default=Trust.untrusted)
