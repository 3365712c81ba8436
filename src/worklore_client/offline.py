"""Breaking a layer on purpose, for this home alone, so that a person can see what happens then."""

import time
from pathlib import Path

from worklore_client.cached import broken
from worklore_client.config import write_private
from worklore_client.layers import LAYERS

FILE = "offline"
MOST_MINUTES = 7 * 24 * 60


def simulate(home: Path, layers: list[str], minutes: int | None) -> None:
    """Break layers until that is taken back or for some minutes; those broken before mend. OSError, ValueError."""
    unknown = [layer for layer in layers if layer not in LAYERS]
    if unknown:
        raise ValueError(f"there is no layer {unknown[0]}; there are {', '.join(LAYERS)}")
    until = 0 if minutes is None else int(time.time()) + 60 * min(minutes, MOST_MINUTES)
    write_private(home / FILE, "".join(f"{layer}={until}\n" for layer in dict.fromkeys(layers)))


def mend(home: Path) -> bool:
    """Let all layers work again; True when one was broken."""
    was = bool(simulated(home))
    (home / FILE).unlink(missing_ok=True)
    return was


def simulated(home: Path) -> list[str]:
    """The layers that are broken on purpose now."""
    return [layer for layer in LAYERS if broken(str(home), layer)]
