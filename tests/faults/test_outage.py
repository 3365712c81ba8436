"""The short form of ``make outage``."""

import random
from pathlib import Path

from tests.faults.outage import killed_at_work, reconnect


def test_what_was_written_in_an_outage_arrives_once_and_in_order(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    outage = reconnect(tmp_path, clients=3, each=100, kills=2, seed=seed)
    assert outage.wrong == [], (seed, outage.figures)
    assert (outage.figures["operations"], outage.figures["conflicts reported"]) == (300, 5)


def test_kills_at_work_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    outage = killed_at_work(tmp_path, hits=24, seed=seed)
    assert outage.wrong == [], (seed, outage.figures)
