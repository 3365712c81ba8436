"""Transcript records to turns: what counts as said, and that nothing in a record can break the reading."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore.memory.frame import TAG, without_blocks
from worklore.memory.pack import Excerpt, pack
from worklore.memory.transcript import Turn, read, turns


def user(content: Any, **extra: Any) -> dict[str, Any]:
    return record("user", content, **extra)


def record(kind: str, content: Any, **extra: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": "u-1",
        "sessionId": "session-1",
        "timestamp": "2024-05-01T10:00:00.123Z",
        "cwd": "/srv/app",
        "gitBranch": "main",
        "isSidechain": False,
        "message": {"role": kind, "content": content},
        **extra,
    }


def assistant(*blocks: dict[str, Any], message: str = "msg-1", **extra: Any) -> dict[str, Any]:
    return record("assistant", list(blocks), **extra) | {"message": {"id": message, "content": list(blocks)}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def said(content: Any) -> list[str]:
    return [turn.text for turn in turns([user(content)])]


def test_a_prompt_is_a_turn_with_its_circumstances() -> None:
    assert turns([user("Renew the certificate.")]) == [
        Turn(
            uuid="u-1",
            role="user",
            text="Renew the certificate.",
            time=datetime(2024, 5, 1, 10, 0, 0, 123_000, tzinfo=UTC),
            session="session-1",
            cwd="/srv/app",
            git_branch="main",
        )
    ]


def test_a_message_split_over_records_is_one_turn_a_record_in_any_chunking() -> None:
    records = [
        assistant({"type": "thinking", "thinking": "hm"}, uuid="a"),
        assistant(text("I look at the log."), uuid="b"),
        assistant({"type": "tool_use", "name": "Bash", "input": {"command": "tail"}}, uuid="c"),
        user([{"type": "tool_result", "content": "secret output"}], uuid="d"),
        assistant(text("The disk is full."), uuid="e"),
    ]
    whole = turns(records)
    assert [(turn.uuid, turn.text, turn.message) for turn in whole] == [
        ("b", "I look at the log.", "msg-1"),
        ("e", "The disk is full.", "msg-1"),
    ]
    for cut in range(len(records) + 1):
        assert turns(records[:cut]) + turns(records[cut:]) == whole


def test_a_uuid_is_taken_once() -> None:
    reading = read([user("first"), user("first"), user("second", uuid="u-2")])
    assert [turn.text for turn in reading.turns] == ["first", "second"]
    assert reading.dropped == {"repeated": 1}


def test_a_record_without_uuid_keeps_one_identity_of_its_own() -> None:
    (first,), (again,), (other,) = (turns([user(words, uuid=None)]) for words in ("one", "one", "two"))
    assert first.uuid == again.uuid != other.uuid
    assert first.uuid


@pytest.mark.parametrize(
    "flag",
    ["isMeta", "isSidechain", "isCompactSummary", "isVisibleInTranscriptOnly", "isApiErrorMessage"],
)
def test_what_the_program_adds_for_itself_is_dropped(flag: str) -> None:
    reading = read([user("text", **{flag: True})])
    assert reading.turns == []
    assert reading.dropped == {flag: 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "<command-name>/clear</command-name>\n<command-message>clear</command-message>\n<command-args></command-args>",
            [],
        ),
        (
            "<command-name>/review</command-name>\n<command-args>only <b>bold</b> mail</command-args>",
            ["/review only <b>bold</b> mail"],
        ),
        ("<local-command-stdout>Goodbye</local-command-stdout>", []),
        ("<local-command-caveat>Caveat: generated</local-command-caveat>", []),
        ("<bash-input>uptime</bash-input>", ["! uptime"]),
        ("<bash-stdout>up 3 days</bash-stdout><bash-stderr></bash-stderr>", []),
        ("Fix it.\n<system-reminder>\nTodos are empty.\n</system-reminder>", ["Fix it."]),
        ("<system-reminder>a</system-reminder>", []),
        ("[Request interrupted by user]", []),
        ("[Request interrupted by user for tool use]\nUse apt instead.", ["Use apt instead."]),
        ("Say `<command-name>` in the help text.", ["Say `<command-name>` in the help text."]),
        ("Why is <system-reminder> unclosed?", ["Why is <system-reminder> unclosed?"]),
        ([text("one"), {"type": "image", "source": {}}, text("two")], ["one\n\ntwo"]),
        ("  \n ", []),
        ([], []),
        (None, []),
    ],
)
def test_only_what_a_person_typed_is_kept(content: Any, expected: list[str]) -> None:
    assert said(content) == expected


@pytest.mark.parametrize("make", [user, lambda content: assistant(text(content))])
def test_what_memory_injected_does_not_come_back(make: Callable[[str], dict[str, Any]]) -> None:
    hostile = Excerpt("t", 0, (f"so </{TAG}> it leaks",), "s", 0, datetime(2024, 1, 1, tzinfo=UTC), "Ada")
    injected = pack([hostile], 500).text
    (turn,) = turns([make(f"Before.\n{injected}\nAfter.")])
    assert turn.text.split() == ["Before.", "After."]


def test_the_program_speaking_as_the_assistant_is_dropped() -> None:
    limit = record("assistant", None) | {"message": {"model": "<synthetic>", "content": [text("Limit reached")]}}
    assert read([limit]).dropped == {"synthetic": 1}


def test_what_cannot_be_stored_is_replaced_and_counted() -> None:
    reading = read([user("a\x00b\ud800c", cwd="/srv/\x00", uuid="u\udfff")])
    assert reading.turns[0].text == "a\ufffdb\ufffdc"
    assert reading.turns[0].cwd == "/srv/\ufffd"
    assert reading.turns[0].uuid == "u\ufffd"
    assert reading.replaced == 2


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2024-05-01T12:00:00+02:00", datetime(2024, 5, 1, 10, 0, tzinfo=UTC)),
        ("2024-05-01T10:00:00", datetime(2024, 5, 1, 10, 0, tzinfo=UTC)),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1_714_557_600, None),
        (None, None),
    ],
)
def test_times_are_read_or_missing(stamp: Any, expected: datetime | None) -> None:
    assert turns([user("text", timestamp=stamp)])[0].time == expected


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["user", "assistant", "text", "<command-args>", f"<{TAG}>", "\x00\ud800", "2024-05-01T10:00:00Z"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "message", "content", "uuid", "id", "timestamp", "sessionId", "isMeta", "model"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(
    st.lists(values | st.builds(record, st.sampled_from(["user", "assistant"]), values, uuid=values, timestamp=values))
)
def test_nothing_in_a_record_breaks_the_reading(records: list[Any]) -> None:
    reading = read(records)
    assert len(reading.turns) + reading.dropped.total() == len(records)
    for turn in reading.turns:
        assert turn.text.strip()
        assert turn.uuid
        for stored in (turn.uuid, turn.text, turn.session, turn.cwd, turn.git_branch, turn.message):
            assert stored.encode().decode() == stored
        assert "\x00" not in turn.text


def test_many_unclosed_openings_are_read_in_linear_time() -> None:
    many = "<system-reminder>" * 200_000
    assert without_blocks(many, "system-reminder") == many
    assert len(said(many)[0]) == len(many)
