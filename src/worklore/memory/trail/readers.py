"""Which reader reads which agent's records."""

from typing import Final

from worklore.memory.trail import claude, codex
from worklore.memory.trail.step import Reader

READERS: Final[dict[str, Reader]] = {"claude-code": claude.read, "codex": codex.read}


def reader_of(agent: str) -> Reader:
    """The reader of an agent's records. Agents that are not known are taken to write as Claude Code does."""
    return READERS.get(agent, claude.read)
