"""What is found in a text, and why a text may not be judged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Find:
    """A secret in a text: its place, and the name of the rule that knows it."""

    start: int
    end: int
    name: str


class Cut(Exception):  # noqa: N818 - reads as the state it is
    """The text cannot be judged; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
