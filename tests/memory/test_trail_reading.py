"""Reading agents' records: the same steps in any pieces, and nothing in a record breaks it."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory.agents import Claude, codex_session, whole_session
from worklore.memory.trail.readers import reader_of
from worklore.memory.trail.rows import Row, Whereabouts, lines_of, rows_of
from worklore.memory.trail.step import MAX_OPEN, Usage
from worklore.trail.command import CommandRun
from worklore.trail.file_change import FileChange

WHERE = Whereabouts(uuid.UUID(int=1), uuid.UUID(int=2), None, datetime(2026, 3, 3, tzinfo=UTC), "ws-07")

Made = tuple[dict[uuid.UUID, Row], dict[str, Usage], list[Any]]


def made(pieces: Sequence[Sequence[Any]], agent: str = "claude-code", source: str = "a.jsonl") -> Made:
    """The rows of records that come in pieces; the state goes through JSON between them, as in the database."""
    rows: dict[uuid.UUID, Row] = {}
    usage: dict[str, Usage] = {}
    turns: list[Any] = []
    state: dict[str, Any] = {}
    for piece in pieces:
        state = json.loads(json.dumps(state))
        read = reader_of(agent)(piece, state, source=source)
        rows |= {row.id: row for row in rows_of(read, lines_of(read), state, WHERE)}
        usage |= {used.key: used for used in read.usage}
        turns += read.turns
    return rows, usage, turns


@pytest.mark.parametrize(("agent", "records"), [("claude-code", whole_session()), ("codex", codex_session())])
def test_any_pieces_give_the_same_rows(agent: str, records: list[Any]) -> None:
    whole = made([records], agent)
    assert len(whole[0]) > 8
    for cut in range(len(records) + 1):
        assert made([records[:cut], records[cut:]], agent) == whole, cut
    assert made([[record] for record in records], agent) == whole


@pytest.mark.parametrize(("agent", "records"), [("claude-code", whole_session()), ("codex", codex_session())])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_comes_twice_is_one(agent: str, records: list[Any], data: st.DataObject) -> None:
    """A resumed session repeats what was said before: the rows are those of the records without repetition."""
    cut = data.draw(st.integers(0, len(records)))
    repeated = made([records[:cut], records], agent)
    whole = made([records], agent)
    assert repeated[0].keys() == whole[0].keys()
    assert {key: row.content for key, row in repeated[0].items()} == {key: row.content for key, row in whole[0].items()}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("agent", "records"), [("claude-code", whole_session()), ("codex", codex_session())])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_json_in_any_field_raises_nothing(agent: str, records: list[Any], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(records))), min_size=1, max_size=4, unique=True))
    changed = json.loads(json.dumps(records))
    for place in chosen:
        changed[place] = _changed(changed[place], data)
    rows, _, _ = made([changed, data.draw(st.lists(JSON, max_size=3))], agent)
    for row in rows.values():
        texts = [value for value in row.content.values() if isinstance(value, str)]
        assert all(text.encode() is not None and "\0" not in text for text in texts)


def _changed(value: Any, data: st.DataObject) -> Any:
    """The value with anything in the place of one of its parts."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return value | {name: _changed(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], _changed(value[place], data), *value[place + 1 :]]
    return data.draw(JSON)


def commands(rows: dict[uuid.UUID, Row]) -> list[Row]:
    return [row for row in rows.values() if row.model is CommandRun]


def test_a_state_stays_small() -> None:
    claude = Claude("many")
    state: dict[str, Any] = {}
    calls = [claude.calls("Bash", command=f"echo {number} {'x' * 9000}") for number in range(300)]
    todos = [record for number in range(300) for record in claude.lists(**{f"item_{number}": "pending"})]
    reader_of("claude-code")([*calls, *todos], state, source="")
    assert len(state["open"]) <= MAX_OPEN
    assert len(json.dumps(state)) < 400_000


def test_a_sub_agents_file_is_marked_after_it() -> None:
    claude = Claude("sub", isSidechain=True)
    records = [claude.says("Find the leak"), *claude.runs("ls /srv"), *claude.edits("/srv/a.py", "a", "b")]
    source = "/home/x/.claude/projects/p/s/subagents/agent-a1b2.jsonl"
    rows, _, turns = made([records], source=source)
    assert {row.subagent for row in rows.values()} == {"a1b2"}
    assert turns == []
    rows, _, _ = made([[record | {"agentId": "c3"} for record in records]], source="s.jsonl")
    assert {row.subagent for row in rows.values()} == {"c3"}


def test_parallel_calls_each_get_their_own_result() -> None:
    claude = Claude("parallel")
    blocks = [
        {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": f"step {number}"}}
        for number in range(3)
    ]
    results = [
        {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"out {number}", "is_error": False}
        for number in (2, 0, 1)
    ]
    rows, _, _ = made([[claude.record("assistant", blocks), claude.record("user", results)]])
    assert {row.content["command_text"]: row.content["output_summary"] for row in commands(rows)} == {
        f"step {number}": f"out {number}" for number in range(3)
    }


def test_an_interrupted_command_did_neither_succeed_nor_fail() -> None:
    claude = Claude("interrupted")
    call = claude.calls("Bash", command="make world")
    told = {"stdout": "half", "stderr": "", "interrupted": True}
    rows, _, _ = made([[call, claude.result(call, "half\n[Request interrupted by user]", told=told)]])
    (row,) = commands(rows)
    assert (row.content["success"], row.content["failure_category"]) == (None, "interrupted")


def test_pictures_and_long_outputs_are_bounded() -> None:
    claude = Claude("long")
    call = claude.calls("Bash", command="cat big")
    blocks = [
        {"type": "text", "text": "start" + "x" * 9000 + "the end"},
        {"type": "image", "source": {"data": "A" * 9}},
    ]
    rows, _, _ = made([[call, claude.result(call, blocks)]])
    (row,) = commands(rows)
    said = row.content["output_summary"]
    assert said.startswith("startx")
    assert said.endswith("the end\n[image]")
    assert len(said) < 2100


def test_a_codex_rollout_is_the_same_record() -> None:
    rows, usage, turns = made([codex_session()], "codex")
    assert [turn.text for turn in turns] == [
        "Orders vanish at night",
        "Orders were lost at midnight; a queue keeps them now.",
    ]
    assert {(turn.cwd, turn.git_branch) for turn in turns} == {("/srv/shop", "fix/queue")}
    ran = {row.content["command_text"]: row.content for row in commands(rows)}
    assert ran["pytest -q"] | {"executed_at": None} == {
        "command_text": "pytest -q",
        "host": "ws-07",
        "shell_type": "bash",
        "working_directory": "/srv/shop/api",
        "success": False,
        "output_summary": "1 failed",
        "exit_code": 1,
        "duration_ms": 2500,
        "error_message": "1 failed",
        "failure_category": "test_failure",
        "executed_at": None,
    }
    assert (ran["git push origin fix/queue"]["exit_code"], ran["git push origin fix/queue"]["duration_ms"]) == (0, 1250)
    assert ran["git push origin fix/queue"]["output_summary"] == "fix/queue -> fix/queue"
    assert (ran["sleep 999"]["success"], ran["sleep 999"]["failure_category"]) == (None, "interrupted")
    files = [row.content for row in rows.values() if row.model is FileChange]
    assert [(file["file_path"], file["change_type"], file["description"]) for file in files] == [
        ("src/queue.py", "created", "+2 -0 lines"),
        ("src/main.py", "moved", "+1 -1 lines"),
        ("src/cron.py", "deleted", "+0 -0 lines"),
    ]
    assert sorted((used.model, used.input, used.cache_read, used.output) for used in usage.values()) == [
        ("gpt-5-codex", 300, 600, 100),
        ("gpt-5-codex", 400, 1000, 100),
    ]


def test_an_older_rollout_has_its_items_bare() -> None:
    lines = [
        line["payload"] | {"timestamp": line["timestamp"]}
        for line in codex_session()
        if line["type"] == "response_item"
    ]
    head = {"id": "0195aaaa-0000-7000-8000-000000000002", "timestamp": "2025-06-01T10:00:00Z", "instructions": None}
    rows, _, turns = made([[head, {"record_type": "state"}, *lines]], "codex")
    assert len(commands(rows)) == 3
    assert len(turns) == 2


def test_a_codex_call_repeated_by_a_fork_is_the_same_row() -> None:
    fork = [line | {"timestamp": "2026-03-05T08:00:00.000Z"} for line in codex_session()]
    calls = {row.id for row in commands(made([codex_session()], "codex")[0])}
    assert {row.id for row in commands(made([fork], "codex")[0])} == calls
