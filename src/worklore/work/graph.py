"""Where a work item hangs in its tree, and whether items wait for each other in a circle. Pure."""

import uuid
from collections.abc import Sequence
from typing import Final

from worklore.estate.graph import reaches

__all__ = ["MAX_DEPTH", "ROOT", "depth_of", "path_below", "path_of", "reaches"]

MAX_DEPTH: Final = 5
"""Levels below a root."""

ROOT: Final = "/"


def path_of(ancestors: Sequence[uuid.UUID]) -> str:
    """The path of an item with these ancestors, root first: ``/`` for a root, ``/<root>/`` for its child."""
    return ROOT + "".join(f"{ancestor}/" for ancestor in ancestors)


def path_below(path: str, parent: uuid.UUID) -> str:
    """The path of the children of an item at ``path``. Paths that begin with it are those of all its descendants."""
    return f"{path}{parent}/"


def depth_of(path: str) -> int:
    """How many ancestors a path names."""
    return path.count("/") - 1
