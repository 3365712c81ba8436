"""What the hooks kept to themselves: their log, told to people."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FOLLOW_SECONDS = 0.5
NAME = "hook.log"
_WORDS = 3


@dataclass(frozen=True)
class Line:
    """One failure: its time (UTC), the event, or ``flush``, and a code."""

    time: str
    event: str
    code: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def lines(home: Path, event: str = "") -> list[Line]:
    """The log's lines, oldest first, of one event or of all; those of the file before it was turned over come first."""
    texts: list[str] = []
    for name in (f"{NAME}.1", NAME):
        try:
            texts += (home / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
    return [line for text in texts if (line := _parsed(text, event)) is not None]


def follow(home: Path, event: str = "") -> Iterator[Line]:
    """The lines that come in from now on, without an end."""
    path = home / NAME
    place = path.stat().st_size if path.exists() else 0
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < place:
            place = 0  # turned over
        if size > place:
            with path.open("rb") as file:
                file.seek(place)
                added = file.read(size - place)
            whole = added[: added.rfind(b"\n") + 1]
            place += len(whole)
            for text in whole.decode("utf-8", "replace").splitlines():
                if (line := _parsed(text, event)) is not None:
                    yield line
        time.sleep(FOLLOW_SECONDS)


def _parsed(text: str, event: str) -> Line | None:
    words = text.split(maxsplit=_WORDS - 1)
    if len(words) != _WORDS or (event and words[1] != event):
        return None
    return Line(*words)
