"""A hub that is away, slow or broken, tokens that are no longer good: hooks hurt nobody, and nothing is lost."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Calm
from tests.faults.proxy import MODES, Proxy
from tests.faults.rig import HubProcess, Station, Window, waited
from tests.faults.samples import TOPICS, Session, lines_of
from worklore_client.config import load
from worklore_client.wire import Hub, HubRefused

UNAVAILABLE = "Memory is unavailable"
HOOK_SECONDS = 5.0
"""What a hook may take on a busy machine; its own limits are 0.3 and 1 second."""


class Conversation:
    """A transcript that grows turn by turn, each ended by a Stop hook."""

    def __init__(self, station: Station, path: Path) -> None:
        self.station = station
        self.path = path
        self.session = Session(station.folder.name + path.name)
        self.turns = 0

    def grow(self) -> None:
        self.turns += 1
        with self.path.open("ab") as file:
            file.writelines(lines_of(self.session.turn(TOPICS[0], self.turns)))

    def stop(self) -> None:
        assert self.station.hook("Stop", self.session.id, self.path) == b""

    def whole(self, windows: list[Window]) -> None:
        """Every turn is there, once: a prompt and two answers each."""
        assert [window[2] for window in windows] == list(range(3 * self.turns))
        found = [f"{n}:" in window[6] for n, window in enumerate(windows[::3], 1)]
        assert found == [True] * self.turns


def unhurt(conversation: Conversation) -> None:
    """All four hooks exit 0 in time and print nothing but what this machine has kept, said to be that."""
    station, session, path = conversation.station, conversation.session.id, conversation.path
    for event, members in (
        ("SessionStart", {"source": "startup"}),
        ("UserPromptSubmit", {"prompt": "Why does the tunnel drop?"}),
        ("PreCompact", {"trigger": "auto"}),
        ("Stop", {}),
    ):
        begun = time.monotonic()
        printed = station.hook(event, session, path, **members)
        if printed:
            told = json.loads(printed)["hookSpecificOutput"]
            assert told["hookEventName"] == event in {"SessionStart", "UserPromptSubmit"}
            assert "The hub did not answer" in told["additionalContext"] or UNAVAILABLE in told["additionalContext"]
        assert time.monotonic() - begun < HOOK_SECONDS, event


def codes(station: Station) -> set[str]:
    return {line.split()[-1] for line in station.log()}


def test_what_stands_between_may_do_anything(calm: Calm, new_station: Callable[..., Station], tmp_path: Path) -> None:
    with Proxy(calm.hub.port).running() as proxy:
        station = new_station()
        station.connect(proxy.url, calm.hub.code())
        conversation = Conversation(station, tmp_path / "t.jsonl")
        conversation.grow()
        conversation.stop()
        assert station.settled()
        for mode in MODES:
            conversation.grow()
            before = proxy.requests
            proxy.mode = mode
            unhurt(conversation)
            # The flusher has tried, and what it could not send is still noted.
            assert waited(lambda before=before: proxy.requests >= before + 3, 20), mode
            if mode != "slow":
                assert list((station.home / "spool").glob("*.note")), mode
        proxy.mode = "pass"
        proxy.released.set()
        conversation.stop()
        assert station.settled()
    conversation.whole(calm.hub.windows(conversation.session.id))
    assert {"hub-timeout", "answer-500", "answer-rubbish", "hub-unreachable"} <= codes(station)


def test_a_hub_that_is_away_gets_everything_when_it_is_back(
    own_hub: Callable[..., HubProcess], new_station: Callable[..., Station], tmp_path: Path
) -> None:
    hub, station = own_hub(), new_station()
    station.connect(hub.url, hub.code())
    conversation = Conversation(station, tmp_path / "t.jsonl")
    conversation.grow()
    conversation.stop()
    hub.kill()  # perhaps in the middle of the first turn
    for _ in range(3):
        conversation.grow()
        unhurt(conversation)
    assert waited(lambda: "hub-unreachable" in codes(station), 10)
    assert list((station.home / "spool").glob("*.note"))
    done = station.worklore("doctor")
    assert done.returncode == 1
    assert "cannot be reached" in done.stdout
    hub.start()
    # The next session's start is enough: it finds the notes that wait.
    station.hook("SessionStart", "another", tmp_path / "other.jsonl", source="startup")
    assert station.settled()
    conversation.whole(hub.windows(conversation.session.id))
    assert station.worklore("doctor").returncode == 0


def doctor(station: Station) -> tuple[int, dict[str, str]]:
    """The doctor's exit code and what it finds wrong."""
    done = station.worklore("doctor", "--json")
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {each["name"]: each["detail"] for each in checks if each["state"] == "failure"}


def accepted(station: Station) -> bool:
    """True while the hub takes the station's token."""
    config = load(station.home)
    try:
        Hub(config.hub, config.token).get("me")
    except HubRefused as refusal:
        return refusal.status != 401
    return True


@pytest.mark.parametrize("trouble", ["wrong", "expired", "revoked"])
def test_a_token_that_is_no_longer_good(
    calm: Calm, new_station: Callable[..., Station], tmp_path: Path, trouble: str
) -> None:
    hub, station = calm.hub, new_station()
    station.connect(hub.url, hub.code())
    conversation = Conversation(station, tmp_path / "t.jsonl")
    conversation.grow()
    conversation.stop()
    assert station.settled()
    if trouble == "wrong":
        station.configure(token="wl_" + "x" * 49)
    else:
        column, past = {"expired": "expires_at", "revoked": "revoked_at"}[trouble], "2026-01-01T00:00:00.000000Z"
        of_machine = "machine_id = (SELECT id FROM machines WHERE friendly_name = :name)"
        changed = hub.change(
            f"UPDATE api_tokens SET {column} = :past WHERE {of_machine}", past=past, name=station.folder.name
        )
        assert changed == 1
        # The hub remembers a token it has seen for some seconds.
        assert waited(lambda: not accepted(station), 15)
    conversation.grow()
    unhurt(conversation)
    named = "token-expired" if trouble == "expired" else "token-invalid"
    assert waited(lambda: named in codes(station), 10)
    status, failures = doctor(station)
    assert (status, list(failures)) == (1, ["token"])
    assert ("expired" if trouble == "expired" else "token") in failures["token"]
    assert "wl_" not in "".join([*station.log(), *failures.values()])
    station.connect(hub.url, hub.code())
    assert doctor(station) == (0, {})
    # Connecting ran the hook that finds what waits.
    assert station.settled()
    conversation.whole(hub.windows(conversation.session.id))
