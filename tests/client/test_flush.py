"""From the spool to the hub: nothing lost, nothing doubled, whatever happens on the way."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore_client import events
from worklore_client.flush import flush
from worklore_client.record import OUTPUT_LIMIT, LineCutter, Malformed, outgoing, records_in
from worklore_client.spool import FlushState, flusher_lock
from worklore_client.transcript import LINE_LIMIT, portions

from .conftest import Machine, PretendedHub, Request, record, serving, waited, write_records


def noted(machine: Machine, transcript: Path, session: str = "s-1") -> None:
    """Leave the note that a Stop hook leaves, without its flusher."""
    found = events.members(machine.event("Stop", transcript_path=str(transcript), session_id=session))
    events.note_growth(str(machine.home), "claude-code", "Stop", found, str(machine.project))


def test_a_growing_file_is_sent_piece_by_piece(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(n) for n in range(3)])
    with transcript.open("a") as file:
        file.write(json.dumps(record(3))[:20])  # a half line: the agent is still writing
    noted(machine, transcript)
    assert flush(machine.home)
    assert len(hub.records) == 3
    transcript.write_text(transcript.read_text()[:-20] + json.dumps(record(3)) + "\n")
    noted(machine, transcript)
    noted(machine, transcript)
    assert flush(machine.home)
    bodies = [json.loads(request.body) for request in hub.asked("/capture") if request.body]
    assert [(body["from"], len(body["records"])) for body in bodies] == [(0, 3), (bodies[0]["to"], 1)]
    assert bodies[1]["to"] == transcript.stat().st_size
    assert list(hub.records.values()) == [record(n) for n in range(4)]
    assert bodies[0]["identity"]["path"] == str(machine.project)
    assert not machine.notes()


def test_lines_that_carry_nothing_and_lines_that_are_none(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    noise = [{"type": "progress"}, {"type": "file-history-snapshot"}, {"type": "queue-operation"}]
    write_records(transcript, [record(1), *noise])
    broken = [b'{"torn": "li', b"\xff\xfe\x00", b"[1]", b"7", b"", b"{" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000]
    latin = json.dumps(record(2, "Grüße")).encode().replace(b"\\u00fc", b"\xfc")
    odd = b'{"uuid":"odd","text":"nul \\u0000 and \\ud800 alone","n":NaN}'
    transcript.write_bytes(transcript.read_bytes() + b"\n".join([*broken, latin, odd, b""]))
    noted(machine, transcript)
    assert flush(machine.home)
    (body,) = [json.loads(request.body) for request in hub.asked("/capture") if request.body]
    assert (body["skipped"], body["malformed"]) == (4, 6)
    assert [item["uuid"] for item in body["records"]] == [record(1)["uuid"], record(2)["uuid"], "odd"]
    assert body["records"][1]["message"]["content"].startswith("Gr\ufffd")
    assert body["records"][2] == {"uuid": "odd", "text": "nul \ufffd and \ufffd alone", "n": None}
    assert body["to"] == transcript.stat().st_size


@pytest.mark.parametrize("content", [b"", b"\n\n", b'{"half'])
def test_files_with_nothing_to_send(machine: Machine, hub: PretendedHub, tmp_path: Path, content: bytes) -> None:
    transcript = tmp_path / "t.jsonl"
    transcript.write_bytes(content)
    noted(machine, transcript)
    assert flush(machine.home)
    assert not hub.records
    assert machine.log() == ""


def test_a_rewritten_and_a_truncated_file_start_again(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    for numbers in (range(5), range(10, 16), range(10, 12)):
        write_records(transcript, [record(n) for n in numbers])
        noted(machine, transcript)
        assert flush(machine.home)
    assert {item["uuid"] for item in hub.records.values()} == {record(n)["uuid"] for n in [*range(5), *range(10, 16)]}
    assert FlushState.load(machine.home).duplicates == 2


def test_a_cursor_that_moves_meanwhile_is_followed(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(n) for n in range(6)])
    noted(machine, transcript)
    assert flush(machine.home)
    ((key, (end, digest)),) = hub.cursors.items()
    write_records(transcript, [record(6)], mode="a")
    first_line = len(transcript.read_bytes().splitlines(keepends=True)[0])
    real, moved = hub.cursor, []

    def stale_once(query: str) -> tuple[int, dict[str, Any]]:
        answer = real(query)
        if not moved:
            moved.append(True)
            hub.cursors[key] = (first_line, "")
        return answer

    hub.cursor = stale_once  # type: ignore[method-assign] # another sender sets the cursor back in between
    noted(machine, transcript)
    assert flush(machine.home)
    assert (end, digest) != hub.cursors[key]
    assert len(hub.records) == 7
    assert len(moved) == 1


@pytest.mark.parametrize("mode", ["error", "rubbish", "html", "slow"])
def test_what_cannot_be_sent_stays(
    machine: Machine, hub: PretendedHub, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worklore_client.flush.HUB_SECONDS", 0.3)
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(1)])
    for _ in range(3):
        noted(machine, transcript)
    hub.mode = mode
    assert not flush(machine.home)
    assert len(machine.notes()) == 1  # the newest says all that the others said
    assert "flush hub-" in machine.log()
    state = FlushState.load(machine.home)
    assert state.failures == 1
    assert state.last_error.startswith("hub-")
    hub.mode = "ok"
    hub.released.set()
    assert flush(machine.home)
    assert len(hub.records) == 1
    assert FlushState.load(machine.home).failures == 0


def test_a_refused_token_is_named_and_everything_stays(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_records(tmp_path / f"{name}.jsonl", [record(1)])
        noted(machine, tmp_path / f"{name}.jsonl", session=name)
    hub.tokens.clear()
    assert not flush(machine.home)
    assert machine.log().split()[1:] == ["flush", "token-invalid"]
    assert len(machine.notes()) == 2


def test_a_new_token_is_taken_up_by_the_flusher_that_failed(
    machine: Machine, hub: PretendedHub, tmp_path: Path
) -> None:
    write_records(tmp_path / "t.jsonl", [record(1)])
    noted(machine, tmp_path / "t.jsonl")
    config = machine.home / "config"
    good = config.read_text()
    config.write_text(good.replace("token=wl_", "token=wl_old"))
    real = hub.answer

    def answer(request: Request) -> Any:
        config.write_text(good)  # connected anew while the flusher is at work
        return real(request)

    hub.answer = answer  # type: ignore[method-assign] # what happens meanwhile
    assert flush(machine.home)
    assert machine.log().split()[1:] == ["flush", "token-invalid"]
    assert len(hub.records) == 1


@pytest.mark.parametrize(("status", "others_go"), [(404, True), (409, True), (429, False), (503, False)])
def test_a_refusal_of_one_transcript_lets_the_others_go(
    machine: Machine, hub: PretendedHub, tmp_path: Path, status: int, others_go: bool
) -> None:
    for number, name in enumerate(("a", "b")):
        write_records(tmp_path / f"{name}.jsonl", [record(number)])
        noted(machine, tmp_path / f"{name}.jsonl", session=name)
    real = hub.capture

    def capture(body: dict[str, Any], size: int) -> tuple[int, dict[str, Any]]:
        return (status, {"code": "session elsewhere\n"}) if body["session"] == "a" else real(body, size)

    hub.capture = capture  # type: ignore[method-assign] # what a hub may say of one session
    assert not flush(machine.home)
    assert (len(hub.records), len(machine.notes())) == ((1, 1) if others_go else (0, 2))
    assert machine.log().split()[2:] == ["sessionelsewhere" if others_go else f"hub-{status}"]


def test_one_poisoned_record_does_not_hold_up_the_rest(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(n) for n in range(40)])
    hub.poison = record(23)["uuid"]
    noted(machine, transcript)
    assert flush(machine.home)
    assert {item["uuid"] for item in hub.records.values()} == {record(n)["uuid"] for n in range(40) if n != 23}
    assert machine.log().split()[1:] == ["flush", "record-refused"]
    assert hub.cursors["claude-code", "s-1", str(transcript)][0] == transcript.stat().st_size


def test_transcripts_that_are_gone_and_notes_that_are_none(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    noted(machine, tmp_path / "gone.jsonl")
    noted(machine, tmp_path)  # a folder
    for name, content in (("1", b"no json"), ("2", b"[]"), ("3", b'{"agent": "claude-code"}')):
        (machine.home / "spool" / f"{name}.note").write_bytes(content)
    killed = machine.home / "spool" / "4.part"
    killed.write_bytes(b'{"agent"')
    os.utime(killed, (1, 1))
    flush(machine.home)
    codes = sorted(line.split()[2] for line in machine.log().splitlines())
    assert codes == ["file-EISDIR", "note-unreadable", "note-unreadable", "note-unreadable", "transcript-gone"]
    assert len(machine.notes()) == 1
    assert not killed.exists()


def test_only_one_flusher_at_a_time_and_no_note_is_overlooked(
    machine: Machine, hub: PretendedHub, tmp_path: Path
) -> None:
    write_records(tmp_path / "a.jsonl", [record(1)])
    noted(machine, tmp_path / "a.jsonl")
    with flusher_lock(machine.home) as mine:
        assert mine
        assert not flush(machine.home)
    assert not hub.records
    # A note that arrives between a flusher's last look and its letting go is found by the look after it.
    real, late = hub.capture, []

    def capture(body: dict[str, Any], size: int) -> tuple[int, dict[str, Any]]:
        if not late:
            late.append(True)
            write_records(tmp_path / "b.jsonl", [record(2)])
            noted(machine, tmp_path / "b.jsonl", session="late")
        return real(body, size)

    hub.capture = capture  # type: ignore[method-assign] # a hook runs while the flusher does
    assert flush(machine.home)
    assert len(hub.records) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there each hook starts a flusher, which ends by itself")
def test_hooks_start_one_flusher_at_a_time(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    write_records(tmp_path / "t.jsonl", [record(1)])
    with flusher_lock(machine.home):
        assert machine.run("Stop", transcript_path=str(tmp_path / "t.jsonl")).returncode == 0
        assert len(machine.notes()) == 1
    time.sleep(0.5)
    assert len(machine.notes()) == 1
    assert not hub.records  # it was left to the flusher that held the lock
    assert machine.run("Stop", transcript_path=str(tmp_path / "t.jsonl")).returncode == 0
    assert waited(lambda: len(hub.records) == 1)
    assert machine.drained()


@pytest.mark.skipif(sys.platform == "win32", reason="there each hook starts a flusher, which ends by itself")
def test_a_flusher_that_still_starts_counts_as_one(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(home: str, action: list[str]) -> None:
        assert (home, action) == (str(machine.home), ["flush"])
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False))

    monkeypatch.setattr(events, "start_detached", start)
    for _ in range(3):
        events.start_flusher(str(machine.home))
    assert len(started) == 1
    started[0].communicate(b"\n")
    events.start_flusher(str(machine.home))
    assert len(started) == 2
    started[1].communicate(b"\n")


def test_lines_written_after_the_hook_are_taken_along(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    config = machine.home / "config"
    config.write_text(config.read_text().replace("linger_ms=0", "linger_ms=600"))
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(1)])
    assert machine.run("Stop", transcript_path=str(transcript)).returncode == 0
    assert machine.drained()
    write_records(transcript, [record(2)], mode="a")
    assert waited(lambda: len(hub.records) == 2)


def test_the_pause_after_failures_doubles_and_is_waited_out(
    machine: Machine, hub: PretendedHub, tmp_path: Path
) -> None:
    state = FlushState()
    pauses = []
    for _ in range(8):
        state.failed("hub-unreachable", 60)
        pauses.append(round(state.retry_at - state.last_failure))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    config = machine.home / "config"
    config.write_text(config.read_text().replace("retry_s=0", "retry_s=1"))
    state.retry_at = time.time() + 0.4
    state.save(machine.home)
    write_records(tmp_path / "t.jsonl", [record(1)])
    noted(machine, tmp_path / "t.jsonl")
    begun = time.monotonic()
    assert flush(machine.home)
    assert time.monotonic() - begun >= 0.3


def test_a_home_that_was_removed_is_not_made_again(machine: Machine) -> None:
    command = [sys.executable, "-I", "-S", str(Path(events.__file__).parent)]
    gone = machine.home / "gone"
    ran = subprocess.run([*command, str(gone), "flush"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not gone.exists()
    assert "usage" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


# --- size ----------------------------------------------------------------------------------------------------------


def test_long_strings_lose_their_middle_and_pictures_their_data() -> None:
    output = "start" + "x" * 100_000 + "error at the end"
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 50_000}}
    words = "w" * 100_000
    sent = outgoing({"toolUseResult": {"stdout": output}, "message": {"content": [{"text": words}, picture]}})
    assert sent is not None
    cut = sent["toolUseResult"]["stdout"]
    assert cut.startswith("startxxx")
    assert cut.endswith("error at the end")
    assert f"[{len(output) - OUTPUT_LIMIT} characters left out]" in cut
    assert sent["message"]["content"][0]["text"] == words
    assert sent["message"]["content"][1]["source"]["data"] == "[50000 characters left out]"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60) | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab\\"é', max_size=3), inner, max_size=4),
        max_leaves=10,
    ),
    st.integers(1, 30),
    st.booleans(),
)
def test_a_line_shortened_as_it_streams_is_still_json(value: Any, piece: int, ascii_only: bool) -> None:
    line = json.dumps({"k": value}, ensure_ascii=ascii_only).encode()
    cutter, untouched = LineCutter(100_000, string_limit=24), LineCutter(100_000, string_limit=10_000)
    for at in range(0, len(line), piece):
        cutter.feed(line[at : at + piece])
        untouched.feed(line[at : at + piece])
    assert untouched.line == line
    assert cutter.line is not None
    assert records_in(cutter.line)[1] == 0


def test_a_line_that_stays_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    many = '{"numbers": [' + ",".join(["1234567"] * (LINE_LIMIT // 6)) + "]}"
    path.write_text(many + "\n" + json.dumps(record(1)) + "\n")
    with path.open("rb") as file:
        lines = [line for portion in portions(file, 0) for line in portion.lines]
    assert [(line.records, line.skipped) for line in lines] == [((), 1), ((record(1),), 0)]
    assert lines[-1].end == path.stat().st_size


def test_a_parser_that_meets_anything() -> None:
    assert records_in(b" \r\n") == ([], 0)
    for line in (b"nul", b'"text"', b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000):
        assert records_in(line) == ([], 1)
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(Malformed):
        outgoing(deep)


SNAPSHOT = {"type": "file-history-snapshot", "messageId": "m-1"}


def test_two_records_on_a_line_are_both_taken(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    glued = [[record(1), SNAPSHOT, record(2)], [SNAPSHOT, record(3)], [record(4)]]
    transcript.write_text("".join("".join(json.dumps(item) for item in line) + "\n" for line in glued))
    noted(machine, transcript)
    assert flush(machine.home)
    (body,) = [json.loads(request.body) for request in hub.asked("/capture") if request.body]
    assert body["records"] == [record(n) for n in (1, 2, 3, 4)]
    assert (body["skipped"], body["malformed"]) == (2, 0)


@given(st.data())
def test_a_record_behind_a_torn_one_is_taken(data: st.DataObject) -> None:
    torn = json.dumps({**record(1, 'says {"type": "user"}, [{"a": 1}'), "extra": [{"b": {"c": 2}}, {"d": 3}]})
    fragment = torn[: data.draw(st.integers(1, len(torn) - 1))]
    whole = [record(2, "Grüße: {") | {"z": [{"y": {}}]}, SNAPSHOT][: data.draw(st.integers(1, 2))]
    line = fragment + "".join(json.dumps(item) for item in whole)
    assert records_in(line.encode()) == (whole, 1)


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"user","message":{"type":"text","text":"of the torn record"}',
        '{"type":"user","message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}',
        'nothing {"of":"ours"}',
        '{"type":"user","uuid":"u","sessionId":"s","toolUseResult":{"stdout":"',
    ],
)
def test_what_may_be_a_part_of_a_torn_record_is_left(line: str) -> None:
    assert records_in(line.encode()) == ([], 1)


MEGABYTE = 1024 * 1024


def test_memory_stays_bounded_on_a_large_file_and_a_long_line(
    machine: Machine, hub: PretendedHub, tmp_path: Path
) -> None:
    transcript = tmp_path / "t.jsonl"
    with transcript.open("w") as file:
        for number in range(20):
            file.write(json.dumps(record(number, "word " * (MEGABYTE // 5))) + "\n")
        long_line = json.dumps({**record(50), "toolUseResult": {"stdout": "y\\n\u00e9" * (3 * MEGABYTE)}})
        file.write(long_line + "\n" + json.dumps(record(51)) + "\n")
    assert transcript.stat().st_size > 40 * MEGABYTE
    noted(machine, transcript)
    script = (
        "import sys, resource, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from worklore_client.flush import flush\n"
        "done = flush(pathlib.Path(sys.argv[1]))\n"
        "print(done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    source = str(Path(events.__file__).parent.parent)
    limit = 110 * MEGABYTE

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(machine.home), source],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=confine,
    )
    assert ran.stderr == ""
    done, _ = ran.stdout.split()
    assert done == "True"
    assert len(hub.records) == 22
    stored = hub.records[record(50)["uuid"]]["toolUseResult"]["stdout"]
    assert stored.endswith("bytes left out]")


# --- kill -9 ---------------------------------------------------------------------------------------------------------


KILLS = int(os.environ.get("WORKLORE_TEST_KILLS", "8"))
"""How often to kill; the long form sets more."""


def test_killed_at_any_moment_nothing_is_lost_or_doubled(machine: Machine, tmp_path: Path) -> None:
    hub = PretendedHub()
    transcript = tmp_path / "t.jsonl"
    chance = random.Random(20260310)
    with serving(hub):
        config = machine.home / "config"
        config.write_text(config.read_text().split("\n", 1)[1] + f"hub={hub.url}\n")
        for number in range(KILLS):
            write_records(transcript, [record(n) for n in range(number * 30, number * 30 + 30)], mode="a")
            process = subprocess.Popen(machine.command("Stop"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            assert process.stdin
            process.stdin.write(machine.event("Stop", transcript_path=str(transcript)))
            process.stdin.close()
            time.sleep(chance.uniform(0, 0.025))
            process.send_signal(signal.SIGKILL)
            process.wait()
            # The flusher, too, is killed in the middle of its work.
            flusher = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(events.__file__).parent), str(machine.home), "flush"]
            )
            time.sleep(chance.uniform(0.02, 0.15))
            flusher.kill()
            flusher.wait()
        assert machine.run("Stop", transcript_path=str(transcript)).returncode == 0
        assert machine.drained()
        assert waited(lambda: len(hub.records) == 30 * KILLS)
    assert list(hub.records) == [record(n)["uuid"] for n in range(30 * KILLS)]
    assert FlushState.load(machine.home).duplicates == 0
    assert hub.cursors["claude-code", "s-1", str(transcript)][0] == transcript.stat().st_size
