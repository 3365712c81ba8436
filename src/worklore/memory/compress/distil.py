"""Distilling by a model: an interface with a budget and nothing behind it. It is off, and stays off unless set up.

Nothing in the hub needs it. Who wants it provides a `Distiller`; what it makes is as any other text of an agent:
bounded, counted, and put beside the verbatim record, never in its place.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from worklore.kernel.errors import UnavailableError
from worklore.memory import tokens

OFF: Final = "off"


class Distiller(Protocol):
    """A model that shortens a text."""

    def distil(self, text: str, *, budget: int) -> str:
        """The text in at most `budget` tokens."""
        ...


@dataclass(slots=True)
class Budget:
    """Tokens that may yet be spent on distilling, read and written together."""

    left: int

    def spend(self, size: int) -> None:
        """Take tokens off.

        Raises:
            UnavailableError: so many are not left.
        """
        if size > self.left:
            raise UnavailableError(
                "The budget for distilling is used up.",
                hint="Raise it, or leave the text as it is.",
                code="distil-budget",
            )
        self.left -= size


def distilled(text: str, distiller: Distiller, budget: Budget, *, most: int) -> str:
    """A text as a model puts it, in at most `most` tokens; nothing longer than that is taken from it.

    Raises:
        UnavailableError: the budget does not allow it, or the model wrote more than it was asked for.
    """
    budget.spend(tokens.count(text) + most)
    made = distiller.distil(text, budget=most)
    if tokens.count_within(made, most) is None:
        raise UnavailableError(
            "The model wrote more than it was asked for.", hint="The text stays as it is.", code="distil-too-long"
        )
    return made


def require(setting: str) -> None:
    """See that distilling is off, as no distiller comes with the hub.

    Raises:
        UnavailableError: it is asked for.
    """
    if setting != OFF:
        raise UnavailableError(
            f"No distiller is called {setting}.",
            hint="Set WORKLORE_DISTIL=off: the hub needs none.",
            code="distil-unknown",
        )
