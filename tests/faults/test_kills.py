"""Replayed, repeated and killed at random: what is remembered is the same as if nothing had happened."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy.engine import URL

from tests.faults.campaign import FLUSHER_LIMIT, HUB_LIMIT, Campaign, replay, send_large
from tests.faults.conftest import Calm
from tests.faults.rig import Done, HubProcess, Station
from tests.faults.samples import MEGABYTE, Session
from worklore_cli.replaying import steps

KILLS = 6


def test_the_samples_are_remembered_as_they_should_be(calm: Calm) -> None:
    """What the comparisons below compare with is right in itself."""
    text = "\n".join(window[6] for window in calm.windows)
    for kept in (
        "Finding 4: MTU 1304",
        "And the second tunnel?",
        "NUL \ufffd and a lone \ufffd too",
        "The rest was said.",
        "What does the picture show?",
        "Finding 6: MTU 1306",
        "Gr\ufffd\ufffde vom Lager",
    ):
        assert kept in text
    for left_out in ("Never to be stored again", "not said", "sub-agent", "continued", "log line", "never finished"):
        assert left_out not in text
    assert "Traceback" not in calm.hub.log()
    # Of the broken one, exactly the torn prompt or answer is missing.
    broken = Session("broken").id
    assert {f"Step {n}:" in text for n in range(1, 7)} == {True}
    assert len({window[1] for window in calm.windows if window[0] == broken}) == 18
    done = [row for row in calm.trail if row[1] == "commands_run"]
    assert {row[3] for row in done if row[0] == Session("ordinary").id} == {
        f"ssh fw-{n:02} show state" for n in range(1, 5)
    }
    assert {row[4] for row in done if row[0] == Session("ordinary").id} == {f"fw-{n:02}" for n in range(1, 5)}
    assert len(next(row for row in done if "characters left out" in row[7])[7]) < 2_100


def test_a_second_replay_adds_not_one_row(calm: Calm) -> None:
    before = calm.hub.counts()
    report = replay(calm.station, calm.paths)
    assert (report["failures"], report["windows"], report["drained"]) == (0, 0, True)
    assert calm.hub.counts() == before


def test_kills_and_repetitions_change_nothing(
    calm: Calm,
    own_hub: Callable[..., HubProcess],
    new_station: Callable[..., Station],
    server_database: URL | None,
) -> None:
    hub, station = own_hub(server_database), new_station()
    station.connect(hub.url, hub.code())
    kills = ["hook", "flusher"] * (KILLS // 2) + ["hub"] if server_database is None else ["hook", "flusher", "hub"]
    seed = random.randrange(1_000_000)
    campaign = Campaign(hub, station, kills, seed)
    # What a server database could change shows in the short ones.
    paths = [path for path in calm.paths if server_database is None or path.stat().st_size < MEGABYTE]
    campaign.run(paths)
    assert campaign.failing == [], seed
    assert campaign.killed.total() == len(kills), (seed, campaign.planned)
    sessions = {steps(path)[0] for path in paths}
    assert hub.windows() == [window for window in calm.windows if window[0] in sessions], seed
    assert _said(hub.trail()) == _said(row for row in calm.trail if row[0] in sessions), seed
    assert campaign.grown == {}


def _said(trail: Iterable[Done]) -> list[Done]:
    """All but what names the machine or the session's id on one hub."""
    return sorted(row if row[1] != "conversation_contexts" else (row[0], *row[3:]) for row in trail)


def test_a_large_transcript_is_sent_whole_in_bounded_memory(
    calm: Calm, new_station: Callable[..., Station], tmp_path: Path
) -> None:
    station = new_station()
    station.connect(calm.hub.url, calm.hub.code())
    session = Session(station.folder.name)
    size = 30 * MEGABYTE
    found = send_large(calm.hub, station, session, tmp_path / "large.jsonl", size)
    assert found.size >= size
    windows = calm.hub.windows(session.id)
    assert len(windows) == 3 * found.turns
    assert {f"Finding {n}: " in "\n".join(window[6] for window in windows) for n in range(1, found.turns + 1)} == {True}
    assert 0 < found.flusher < FLUSHER_LIMIT
    assert found.hub_growth < HUB_LIMIT
