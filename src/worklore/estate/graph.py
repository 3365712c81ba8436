"""Questions about directed graphs. Pure: the caller brings the edges."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Node = TypeVar("Node")


def reaches(start: Node, goal: Node, successors: Callable[[frozenset[Node]], Iterable[Node]]) -> bool:
    """True when a path, perhaps of no edge, leads from ``start`` to ``goal``; an edge back closes a cycle then.

    ``successors`` gets a whole generation of nodes and gives those their edges lead to, so that a graph in a database
    costs one query for each step of the longest path. It ends on any finite graph, with cycles too.
    """
    seen: frozenset[Node] = frozenset()
    generation = frozenset({start})
    while generation:
        if goal in generation:
            return True
        seen |= generation
        generation = frozenset(successors(generation)) - seen
    return False
