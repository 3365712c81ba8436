"""Several machines and hooks at once, and what connecting leaves behind: nothing."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.campaign import replay
from tests.faults.conftest import Calm
from tests.faults.rig import Station
from tests.faults.samples import TOPICS, Session, lines_of


def write_turns(session: Session, path: Path, turns: int) -> Path:
    path.write_bytes(b"".join(lines_of(record for n in range(1, turns + 1) for record in session.turn(TOPICS[0], n))))
    return path


def test_two_machines_work_on_one_project_at_once(
    calm: Calm, new_station: Callable[..., Station], tmp_path: Path
) -> None:
    first, second = new_station("workshop-pc-2"), new_station("field-laptop-2")
    remote = first.remote.replace("https://git.example.com/", "git@git.example.com:")
    (second.project / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {remote}\n')
    before = calm.hub.counts()
    runs = []
    for station in (first, second):
        station.connect(calm.hub.url, calm.hub.code())
        session = Session(station.folder.name)
        runs.append((station, session, write_turns(session, tmp_path / f"{session.id}.jsonl", 12)))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda run: replay(run[0], [run[2]]), runs))
    assert [(report["failures"], report["windows"], report["drained"]) for report in reports] == [(0, 36, True)] * 2
    after = calm.hub.counts()
    grown = {name: after[name] - before[name] for name in ("projects", "machines", "sessions", "memory_windows")}
    assert grown == {"projects": 1, "machines": 2, "sessions": 2, "memory_windows": 72}
    for station, session, _ in runs:
        station.configure(start_ms=20_000)
        told = station.hook("SessionStart", f"{session.id}-next", tmp_path / "none.jsonl", source="startup")
        assert "Finding 12" in json.loads(told)["hookSpecificOutput"]["additionalContext"]


def test_many_hooks_at_once_on_one_machine(calm: Calm, new_station: Callable[..., Station], tmp_path: Path) -> None:
    station = new_station()
    station.connect(calm.hub.url, calm.hub.code())
    sessions = [Session(f"{station.folder.name}-{number}") for number in range(8)]
    paths = [write_turns(session, tmp_path / f"{session.id}.jsonl", 3) for session in sessions]

    def stop(number: int) -> bytes:
        # Twice each, as when an answer ends while the transcript is compacted.
        session, path = sessions[number % 8], paths[number % 8]
        return station.hook("Stop" if number < 8 else "PreCompact", session.id, path)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(stop, range(16))) == {b""}
    assert station.settled()
    windows = calm.hub.windows(*(session.id for session in sessions))
    assert sorted((window[0], window[2]) for window in windows) == sorted(
        (session.id, ordinal) for session in sessions for ordinal in range(9)
    )
    assert station.log() == []


def test_connecting_leaves_nothing_on_the_hub_but_the_machine(calm: Calm, new_station: Callable[..., Station]) -> None:
    # In a folder of a project that has much to tell: the proving hook is answered from memory.
    station = new_station()
    known = Station(station.folder).remote
    (station.project / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {known}\n')
    code = calm.hub.code()
    before, told = calm.hub.counts(), calm.hub.count("injections")
    station.connect(calm.hub.url, code)
    after = calm.hub.counts()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"machines": 1, "api_tokens": 1, "project_identities": 1}  # the folder, on this machine
    assert calm.hub.count("injections") == told
    station.configure(start_ms=20_000)
    assert b"<worklore-memory>" in station.hook("SessionStart", "worklore-check", station.home / "none.jsonl")


def test_disconnecting_restores_the_agents_settings_byte_for_byte(
    calm: Calm, new_station: Callable[..., Station]
) -> None:
    station = new_station()
    original = '\ufeff{ "model":"opus",\r\n\t"hooks": {"Stop": [ ]},  "note": "Gr\u00fc\u00dfe" }\r\n'.encode()
    station.settings.write_bytes(original)
    station.connect(calm.hub.url, calm.hub.code())
    assert station.settings.read_bytes() != original
    assert station.worklore("disconnect").returncode == 0
    assert station.settings.read_bytes() == original
    assert [path.name for path in station.settings.parent.iterdir()] == ["settings.json"]
