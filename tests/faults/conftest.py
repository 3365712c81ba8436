"""Hubs and machines of the fault tests: processes of their own, gone at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

import worklore_cli
from tests.conftest import unique
from tests.databases import Templates, drop_database
from tests.faults.campaign import replay
from tests.faults.rig import Done, HubProcess, Station, Window
from tests.faults.samples import write_samples

SHIPPED = Path(worklore_cli.__file__).parent / "demo.jsonl"


class Calm:
    """An undisturbed hub, the transcripts one machine has replayed to it, and what came of them."""

    def __init__(
        self, hub: HubProcess, station: Station, paths: list[Path], windows: list[Window], trail: list[Done]
    ) -> None:
        self.hub = hub
        self.station = station
        self.paths = paths
        self.windows = windows
        self.trail = trail


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calm]:
    """A hub on SQLite on which the samples were replayed once, undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    paths = [SHIPPED, *write_samples(folder / "samples")]
    hub = HubProcess(folder / "hub")
    try:
        hub.start()
        station = Station(folder / "workshop-pc")
        station.prepare()
        station.connect(hub.url, hub.code())
        report = replay(station, paths)
        assert (report["failures"], report["duplicates"]) == (0, 0)
        yield Calm(hub, station, paths, hub.windows(), hub.trail())
    finally:
        hub.stop()


@pytest.fixture
def new_station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Makes machines, by default with a project of their own; what still sends for them at the end is killed."""
    made: list[Station] = []

    def make(name: str = "", **options: object) -> Station:
        station = Station(tmp_path / (name or unique("pc")), f"https://git.example.com/{unique('team')}/network.git")
        for key, value in options.items():
            setattr(station, key, value)
        station.prepare()
        made.append(station)
        return station

    yield make
    for station in made:
        station.kill_flushers()


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Starts hubs that a test may kill."""
    made: list[HubProcess] = []

    def make(url: URL | None = None) -> HubProcess:
        hub = HubProcess(tmp_path / unique("hub"), url)
        made.append(hub)
        hub.start()
        return hub

    yield make
    for hub in made:
        hub.stop()


@pytest.fixture
def server_database(dialect: str, templates: Templates, tmp_path: Path) -> Iterator[URL | None]:
    """A database with the schema on each server; None for SQLite, whose file the hub makes itself."""
    if dialect == "sqlite":
        yield None
        return
    url = templates.copied(dialect, tmp_path)
    yield url
    drop_database(dialect, url.database or "")
